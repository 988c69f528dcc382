/** The page's address holds tab, languages and model, so that it can be kept and passed on; never a text, never a key. */

import { CHOICES } from "./models.js";

/** What the address says. */
export function fromAddress() {
  const query = new URLSearchParams(location.search);
  const tab = query.get("tab") === "translate" ? "translate" : "chat";
  const models = Object.fromEntries(Object.entries(CHOICES).map(([name, choice]) => [choice, name === tab ? query.get("model") : null]));
  return { tab, ...models, source: query.get("source") ?? "auto", target: query.get("target") };
}

/** Keep the address in step. @param {import("../store.js").Store} store */
export function followAddress(store) {
  for (const name of ["tab", "source", "target", ...Object.values(CHOICES)]) store.watch(name, () => write(store.values));
}

function write(values) {
  const { tab, source, target } = values;
  const model = values[CHOICES[tab]];
  const wanted = tab === "chat" ? { model } : { tab, source, target, model };
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}
