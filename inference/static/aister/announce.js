/** The page's one polite live region: short words, said once. */

import { byId } from "./dom.js";

/** Have a screen reader say this. Said again, the same words need a fresh node. @param {string} words */
export function announce(words) {
  const line = document.createElement("p");
  line.textContent = words;
  byId("announcements").replaceChildren(line);
}
