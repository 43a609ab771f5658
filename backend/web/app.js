// The page: wires its parts together. Each looks after one card.

import { startAccount } from "./js/account.js";
import { startAdmin } from "./js/admin.js";
import { startCalls } from "./js/calls.js";
import { startChat } from "./js/chat.js";
import { startUsers } from "./js/users.js";
import { session } from "./js/session.js";

// First, so that it sees every call of the others.
startCalls();
startAccount();
startUsers();
startChat();
startAdmin();

session.resume();
