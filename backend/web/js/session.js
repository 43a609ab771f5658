// Who is signed in. The token is kept for this tab only, and survives a reload.

import { Problem, call } from "./api.js";

const KEY = "access_token";

/** Events: "change" of the user, and "expired" if the token was not good any more. */
class Session extends EventTarget {
  #user = null;

  /** The user, or null. */
  get user() {
    return this.#user;
  }

  get isAdmin() {
    return this.#user?.role === "admin";
  }

  /** After a reload: the token may still be good. */
  async resume() {
    if (this.#token() === null) {
      return;
    }
    try {
      await this.#identify();
    } catch (problem) {
      // Whatever it is, the forms are there to try again.
      if (!(problem instanceof Problem)) {
        throw problem;
      }
    }
  }

  async signIn(email, password) {
    const { access_token: token } = await call("POST", "/api/v1/auth/login", {
      body: { email, password },
    });
    sessionStorage.setItem(KEY, token);
    await this.#identify();
  }

  /** Forgets the token here in any case, and has it refused everywhere if that can be done. */
  async signOut() {
    try {
      await this.call("POST", "/api/v1/auth/logout");
    } finally {
      this.forget();
    }
  }

  forget() {
    sessionStorage.removeItem(KEY);
    if (this.#user !== null) {
      this.#become(null);
    }
  }

  /** A call in the name of the user, who is signed out if the token is not good any more. */
  async call(method, path, options = {}) {
    try {
      return await call(method, path, { ...options, token: this.#token() });
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 401) {
        this.forget();
        this.dispatchEvent(new Event("expired"));
      }
      throw problem;
    }
  }

  /** Changes the user's own account. */
  async change(fields) {
    this.#become(await this.call("PATCH", `/api/v1/users/${this.#user.id}`, { body: fields }));
  }

  /** Deletes the user's own account. */
  async deleteAccount() {
    await this.call("DELETE", `/api/v1/users/${this.#user.id}`);
    this.forget();
  }

  async #identify() {
    const { user } = await this.call("GET", "/api/v1/auth/session");
    this.#become(user);
  }

  #token() {
    return sessionStorage.getItem(KEY);
  }

  #become(user) {
    this.#user = user;
    this.dispatchEvent(new Event("change"));
  }
}

export const session = new Session();
