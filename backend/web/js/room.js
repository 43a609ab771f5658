// A connection to a chat room that comes back by itself.

/** Bounds of the time between two attempts. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

/** A connection that held for so long was good: the next wait is short again. */
const GOOD_AFTER_MS = 5_000;

/**
 * The time to wait before attempt number `attempt` (from 0): it doubles, up to
 * a bound, and half of it is random, so that those whom one instance has lost
 * do not come back all at once.
 */
export function wait(attempt, random = Math.random()) {
  const longest = Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS);
  return Math.round(longest * (0.5 + random / 2));
}

/**
 * Events: "state" with {state: "connecting" | "open" | "waiting" | "closed", wait},
 * and "message" with the text.
 */
export class Room extends EventTarget {
  #url;
  #socket = null;
  #timer = null;
  #attempt = 0;
  #isLeft = false;

  constructor(name) {
    super();
    this.#url = new URL(`/ws?room=${encodeURIComponent(name)}`, location.href);
    this.#url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    addEventListener("online", this.#retryNow);
  }

  connect() {
    this.#timer = null;
    this.#tell("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    let openedAt = null;
    socket.addEventListener("open", () => {
      openedAt = performance.now();
      this.#tell("open");
    });
    socket.addEventListener("message", ({ data }) => {
      // What is not text was not meant for a chat.
      if (typeof data === "string" && !this.#isLeft) {
        this.dispatchEvent(new CustomEvent("message", { detail: data }));
      }
    });
    // An error is followed by this.
    socket.addEventListener("close", () => {
      if (this.#isLeft) {
        return;
      }
      if (openedAt !== null && performance.now() - openedAt > GOOD_AFTER_MS) {
        this.#attempt = 0;
      }
      const delay = wait(this.#attempt++);
      this.#timer = setTimeout(() => this.connect(), delay);
      this.#tell("waiting", delay);
    });
  }

  /** Whether the text went out; it does not while there is no connection. */
  send(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      return false;
    }
    this.#socket.send(text);
    return true;
  }

  /** Ends it for good. */
  leave() {
    this.#isLeft = true;
    removeEventListener("online", this.#retryNow);
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#tell("closed");
  }

  #retryNow = () => {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.connect();
    }
  };

  #tell(state, wait = 0) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, wait } }));
  }
}
