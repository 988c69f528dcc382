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

/** @type {Record<string, (view: View) => string>} */
export const SNIPPETS = { curl, javascript, python, wscat };

function curl(view) {
  return [
    `curl ${view.task === "chat" ? "-N " : ""}${view.origin}/v1/${view.task} \\`,
    `  -H "Authorization: Bearer YOUR_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d ${shellQuoted(lines(httpBody(view)))}`,
  ].join("\n");
}

function javascript(view) {
  const call = view.task === "chat" ? `send(${JSON.stringify(view.text)})` : `translate(${JSON.stringify(view.text)}, ${languages(view)})`;
  return [
    `import { connect } from ${JSON.stringify(`${view.origin}/static/aister/client.js`)};`,
    "",
    "// In a page that others open, use getToken instead of key.",
    "const session = await connect({",
    ...connectOptions(view).map(([name, value]) => `  ${name}: ${JSON.stringify(value)},`),
    "});",
    ...(hasSettings(view) ? [`await session.update(${spaced(view.settings)});`] : []),
    `for await (const text of session.${call}) {`,
    "  console.log(text);",
    "}",
    "session.close();",
  ].join("\n");
}

function python(view) {
  const events = socketEvents(view).map((event) => `    session.send(json.dumps(${spaced(event)}))`);
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
  const options = { url: origin, task, model, key: "YOUR_KEY" };
  return Object.entries(options).filter(([, value]) => value !== null);
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

function languages({ source, target }) {
  return `{ source: ${JSON.stringify(source)}, target: ${JSON.stringify(target)} }`;
}

/** JSON with room to breathe. Strings, numbers, lists and objects, all that we send, read the same in Python. */
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${spaced(inner)}`).join(", ")}}`;
}

/** JSON with a line for each field, each in one piece. */
function lines(body) {
  const fields = Object.entries(body).map(([name, value]) => `    ${JSON.stringify(name)}: ${spaced(value)}`);
  return `{\n${fields.join(",\n")}\n  }`;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
