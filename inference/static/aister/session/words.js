/** The words for every state of a session, and for closings that came without any. */

const CLOSINGS = {
  1009: "The text was too large for one go. Split it.",
  1012: "The server is restarting.",
  1013: "The server is busy.",
  4400: "The server could not read what this page sent. Reload the page.",
  4401: "The server refused the key.",
  4403: "This key may not do this.",
  4404: "The server has no such endpoint. Reload the page.",
  4408: "This page fell too far behind its answers.",
  4429: "This key has too many open sessions, or this address too many failed attempts.",
};

/** The short words of the top bar. @param {import("./keeper.js").State} state */
export function stateWords(state) {
  const words = { idle: "Not connected", connecting: "Connecting", ready: "Ready", closing: "Restarting", waiting: "Offline", refused: "Refused" };
  return words[state.name];
}

/** What is wrong and what happens next, or "" when all is well. @param {import("./keeper.js").State} state */
export function stateDetail(state) {
  if (state.name === "closing") return "The server is restarting. Answers under way may still end.";
  if (state.name === "refused") return errorWords(state.error);
  if (state.name !== "waiting") return "";
  return `${errorWords(state.error)} Trying again in ${secondsUntil(state.retryAt)} s.`;
}

/** What went wrong. @param {import("../client.js").AisterError} error */
export function errorWords(error) {
  if (error.code === "disconnected") return CLOSINGS[error.closeCode] ?? error.message;
  return error.code ? error.message : "Something went wrong on this page. Reload it and try again.";
}

/** How the load that a request waits for is getting on. @param {{percent: number|null, waited_s: number, expected_s: number|null}} event */
export function loadingWords({ percent, waited_s: waited, expected_s: expected }) {
  if (percent !== null) return `Loading the model: ${percent}%`;
  const seconds = `${Math.round(waited)} s`;
  return `Loading the model: ${seconds}${expected === null ? "" : ` of about ${Math.max(1, Math.round(expected))} s`}`;
}

/** When to try again by hand, or "" when waiting is not what helps. @param {import("../client.js").AisterError} error */
export function retryWords(error) {
  return error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
}

/** Whether another key, or signing in, is what would help. @param {import("../client.js").AisterError} error */
export function needsKey(error) {
  return error.closeCode === 4401 || error.closeCode === 4403 || error.status === 401 || error.status === 403;
}

/** Whole seconds until a time, at least one. @param {number} time */
export function secondsUntil(time) {
  return Math.max(1, Math.ceil((time - Date.now()) / 1000));
}
