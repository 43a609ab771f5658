// Making and finding elements. Text only ever becomes text: nothing on this
// page parses markup.

/** The element with this id, which the page has. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) {
    throw new Error(`the page has no #${id}`);
  }
  return found;
}

/**
 * A new element with these attributes, and children that are elements or text.
 * An attribute that is undefined is left out.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined) {
      made.setAttribute(attribute, value);
    }
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** Says something that is worth a sentence to whoever sees or hears the page. */
export function notify(text) {
  byId("notice").textContent = text;
}

/** A point in time that the API wrote, in the reader's own format. */
export function localTime(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime())
    ? String(text)
    : time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
