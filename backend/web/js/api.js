// Calls of the API, which has the origin of the page.

/** Longer than the service takes for anything; a person has given up by then. */
const TIMEOUT_MS = 30_000;

/** Tells of every call: "call" with {method, path, status, instance, duration}. */
export const calls = new EventTarget();

/** What the API, or something on the way to it, answered instead of what was asked for. */
export class Problem extends Error {
  /** @param errors what is wrong with which field: [{field, message}] */
  constructor(status, message, errors = []) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.errors = errors;
  }
}

/**
 * The body of the answer, or null if it has none.
 *
 * Throws a Problem with a message for people if the answer is no success, or
 * if there is none.
 */
export async function call(method, path, { body, token } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  const started = performance.now();
  const note = (status, instance) => {
    const duration = performance.now() - started;
    calls.dispatchEvent(
      new CustomEvent("call", { detail: { method, path, status, instance, duration } }),
    );
  };

  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch {
    note(0, null);
    throw new Problem(0, "The service cannot be reached. Are you online?");
  }
  note(response.status, response.headers.get("X-Served-By"));

  const data = parse(text);
  if (!response.ok) {
    throw problem(response, data);
  }
  return data;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy on the way answers in its own words.
    return null;
  }
}

function problem(response, data) {
  const { status } = response;
  const errors = Array.isArray(data?.errors) ? data.errors : [];
  const when = again(response.headers.get("Retry-After"));
  if (status === 429) {
    return new Problem(status, `That was a little too often. Please try again ${when}.`);
  }
  if (status >= 502 && status <= 504) {
    return new Problem(status, `The service is busy or restarting. Please try again ${when}.`);
  }
  if (status >= 500) {
    return new Problem(status, "Something broke on our side. It has been logged.");
  }
  return new Problem(status, sentence(data?.detail) ?? `That did not work (${status}).`, errors);
}

/** What Retry-After says (RFC 9110 section 10.2.3), for people. */
export function again(retryAfter, now = Date.now()) {
  if (!retryAfter) {
    return "in a moment";
  }
  const seconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : Math.ceil((Date.parse(retryAfter) - now) / 1000);
  if (Number.isNaN(seconds) || seconds <= 0) {
    return "in a moment";
  }
  if (seconds === 1) {
    return "in a second";
  }
  return seconds < 120 ? `in ${seconds} seconds` : `in ${Math.ceil(seconds / 60)} minutes`;
}

/** The API writes its texts without a capital and a full stop. */
function sentence(text) {
  return typeof text === "string" && text !== ""
    ? `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`
    : null;
}
