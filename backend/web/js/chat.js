// The chat: a room, what is said in it, and how the connection is doing.
//
// A message is {"type":"message","from":NAME,"text":TEXT}. The name is what the
// sender says, and nothing proves it.

import { Problem } from "./api.js";
import { byId, element } from "./dom.js";
import { handle } from "./forms.js";
import { Room } from "./room.js";
import { session } from "./session.js";

/** Messages that are kept. */
const MAX_SHOWN = 200;

/** As the service defines it. */
const ROOM_NAME = /^[A-Za-z0-9_-]{1,64}$/;

const STATES = {
  connecting: () => "Connecting…",
  open: () => "Connected",
  waiting: (wait) => `Connection lost; trying again in ${Math.max(1, Math.round(wait / 1000))} s`,
  closed: () => "Not connected",
};

let room = null;

export function startChat() {
  const choice = byId("chat-room");
  handle(choice, async ({ room: name }) => {
    if (!ROOM_NAME.test(name)) {
      const message = "must be 1 to 64 letters, digits, hyphens or underscores";
      throw new Problem(0, message, [{ field: "room", message }]);
    }
    join(name);
    byId("chat-text").focus();
  });

  const input = byId("chat-text");
  byId("chat-send").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    const from = session.user?.name ?? "Guest";
    if (text !== "" && room.send(JSON.stringify({ type: "message", from, text }))) {
      input.value = "";
    }
  });

  join("lobby");
}

function join(name) {
  room?.leave();
  room = new Room(name);
  room.addEventListener("state", ({ detail }) => showState(detail.state, detail.wait));
  room.addEventListener("message", ({ detail }) => append(read(detail)));
  byId("chat-log").replaceChildren();
  append(element("li", { class: "event" }, `Room ${name}`));
  room.connect();
}

function showState(state, wait) {
  const place = byId("chat-state");
  place.dataset.state = state;
  place.textContent = STATES[state](wait);
  byId("chat-submit").disabled = state !== "open";
}

/** A line of the log. Others may send whatever they like: it is shown as it is. */
function read(text) {
  let message = null;
  try {
    message = JSON.parse(text);
  } catch {
    // Not ours.
  }
  if (message?.type === "lagged" && Number.isInteger(message.missed)) {
    const what = message.missed === 1 ? "1 message" : `${message.missed} messages`;
    return element("li", { class: "event" }, `Your connection is slow: you have missed ${what}.`);
  }
  if (message?.type === "message" && typeof message.text === "string") {
    const from = typeof message.from === "string" ? message.from : "Somebody";
    return element("li", {}, element("span", { class: "from" }, from), message.text);
  }
  return element("li", {}, text);
}

function append(line) {
  const log = byId("chat-log");
  // Whoever has scrolled back is reading.
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  log.append(line);
  while (log.childElementCount > MAX_SHOWN) {
    log.firstElementChild.remove();
  }
  if (isAtEnd) {
    log.scrollTop = log.scrollHeight;
  }
}
