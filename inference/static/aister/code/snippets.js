/** The code that does what the playground does, in four languages. Pure: a view in, text out. The key in it is always YOUR_KEY. */

/**
 * @typedef {object} View
 * @property {"chat"|"translate"} task
 * @property {string} origin of this server, such as http://127.0.0.1:8000
 * @property {string|null} model
 * @property {Record<string, any>} settings only those that are set (chat)
 * @property {string} text
 * @property {string} source a code or `auto`
 * @property {string} target
 */

const MOST_COLUMNS = 44; // what the panel shows without scrolling

/** @type {Record<string, (view: View) => string>} */
export const SNIPPETS = { curl, javascript, python, wscat };

function curl(view) {
  return [
    `curl ${view.task === "chat" ? "-N " : ""}${view.origin}/v1/${view.task} \\`,
    `  -H "Authorization: Bearer YOUR_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d ${shellQuoted(spaced(httpBody(view), "  "))}`,
  ].join("\n");
}

function javascript(view) {
  const text = JSON.stringify(view.text);
  const { source, target } = view;
  return [
    `import { connect } from ${JSON.stringify(`${view.origin}/static/aister/client.js`)};`,
    "",
    "// In a page for others: getToken, not key.",
    `const session = await connect(${spaced(connectOptions(view))});`,
    ...(hasSettings(view) ? [`await session.update(${spaced(view.settings)});`] : []),
    `const response = session.${view.task === "chat" ? `send(${text})` : `translate(${text}, ${spaced({ source, target })})`};`,
    "for await (const text of response) {",
    "  console.log(text);",
    "}",
    "session.close();",
  ].join("\n");
}

function python(view) {
  const events = socketEvents(view).map((event) => `    session.send(json.dumps(${spaced(event, "    ")}))`);
  return [
    "# pip install websockets",
    "import json",
    "from websockets.sync.client import connect",
    "",
    `url = ${JSON.stringify(socketUrl(view))}`,
    `headers = {"Authorization": "Bearer YOUR_KEY"}`,
    "with connect(url, additional_headers=headers) as session:",
    ...events,
    "    for frame in session:",
    "        event = json.loads(frame)",
    `        if event["type"] == "response.delta":`,
    `            print(event["text"], end="", flush=True)`,
    `        elif event["type"] == "error":`,
    `            raise SystemExit(event["error"]["message"])`,
    `        elif event["type"] == "response.done":`,
    "            break",
  ].join("\n");
}

function wscat(view) {
  const paste = socketEvents(view).map((event) => JSON.stringify(event));
  return [`wscat -c ${shellQuoted(socketUrl(view))} \\`, `  -H "Authorization: Bearer YOUR_KEY"`, "", "# then, once connected:", ...paste].join("\n");
}

function connectOptions({ origin, task, model }) {
  return { url: origin, task, ...(model === null ? {} : { model }), key: "YOUR_KEY" };
}

function httpBody(view) {
  const { task, model, settings, text, source, target } = view;
  const named = model === null ? {} : { model };
  if (task === "translate") return { ...named, text, source, target };
  const chosen = hasSettings(view) ? { settings } : {};
  return { ...named, messages: [{ role: "user", text }], stream: true, ...chosen };
}

function socketEvents(view) {
  const { task, settings, text, source, target } = view;
  if (task === "translate") return [{ type: "translation.create", id: "1", text, source, target }];
  const message = { type: "message.create", id: "1", text };
  return hasSettings(view) ? [{ type: "session.update", id: "0", settings }, message] : [message];
}

function socketUrl({ origin, task, model }) {
  const query = model === null ? "" : `?model=${encodeURIComponent(model)}`;
  return `${origin.replace(/^http/, "ws")}/v1/${task}${query}`;
}

function hasSettings({ task, settings }) {
  return task === "chat" && Object.keys(settings).length > 0;
}

/**
 * JSON for people, over several lines where one would be too wide. Strings, numbers, lists and objects, all that we send, read the
 * same in Python and JavaScript.
 */
function spaced(value, indent = "") {
  if (typeof value !== "object") return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const inner = `${indent}  `;
  const named = (name) => (Array.isArray(value) ? "" : `${JSON.stringify(name)}: `);
  const parts = (by) => Object.keys(value).map((name) => named(name) + spaced(value[name], by));
  const line = `${open}${parts(inner).join(", ")}${close}`;
  if (line.length + indent.length <= MOST_COLUMNS && !line.includes("\n")) return line;
  return `${open}\n${parts(inner).map((part) => inner + part).join(",\n")}\n${indent}${close}`;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
