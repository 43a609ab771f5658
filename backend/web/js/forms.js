// Forms: what the API says about a field stands at the field.

import { Problem } from "./api.js";

/**
 * Calls `submit` with the values of `form` when it is sent, once at a time, and
 * shows the Problem that it may throw.
 */
export function handle(form, submit) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    if (button.disabled) {
      return;
    }
    clear(form);
    button.disabled = true;
    try {
      await submit(Object.fromEntries(new FormData(form)));
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      complain(form, problem);
    } finally {
      button.disabled = false;
    }
  });
}

/** Takes back what was said about an earlier attempt. */
export function clear(form) {
  for (const place of form.querySelectorAll(".error, .message")) {
    place.textContent = "";
  }
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
  }
}

/** Puts the errors at their fields, the cursor into the first, and the rest below. */
export function complain(form, problem) {
  const rest = [];
  let first = null;
  for (const { field, message } of problem.errors) {
    const input = form.elements.namedItem(field);
    const place = input && form.querySelector(`#${input.id}-error`);
    if (!place) {
      rest.push(`${field} ${message}`);
      continue;
    }
    place.textContent = message;
    input.setAttribute("aria-invalid", "true");
    first ??= input;
  }
  if (!first && rest.length === 0) {
    rest.push(problem.message);
  }
  form.querySelector(".message").textContent = rest.join("; ");
  first?.focus();
}
