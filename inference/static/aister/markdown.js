/**
 * Markdown as DOM nodes: paragraphs, headings, lists, quotes, tables, code, emphasis, links. All text goes through text nodes, so
 * nothing a model writes can become markup; links lead to http and https only.
 */

import { copyButton, el } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** Shows a text that grows: blocks that did not change keep their nodes, so a selection in them survives. */
export class MarkdownView {
  #sources = [];

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {string} text */
  show(text) {
    const blocks = splitBlocks(text.split("\n"));
    const same = blocks.findIndex((block, index) => block.source !== this.#sources[index]);
    const from = same === -1 ? blocks.length : same;
    while (this.element.childNodes.length > from) this.element.lastChild.remove();
    this.element.append(...blocks.slice(from).map((block) => block.render()));
    this.#sources = blocks.map((block) => block.source);
  }
}

/** @param {string[]} lines @returns {{source: string, render: () => Node}[]} */
function splitBlocks(lines) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) {
      at++;
      continue;
    }
    const [length, render] = blockAt(lines, at);
    blocks.push({ source: lines.slice(at, at + length).join("\n"), render });
    at += length;
  }
  return blocks;
}

function blockAt(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return fence(lines, at);
  if (HEADING.test(line)) return [1, () => heading(line)];
  if (RULE.test(line)) return [1, () => el("hr")];
  if (QUOTE.test(line)) return quote(lines, at);
  if (ITEM.test(line)) return list(lines, at);
  if (isTable(lines, at)) return table(lines, at);
  return paragraph(lines, at);
}

function fence(lines, at) {
  const [, mark, language] = FENCE.exec(lines[at]);
  const closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end++;
  return [end - at + 1, () => codeBlock(lines.slice(at + 1, end).join("\n"), language)];
}

function codeBlock(code, language) {
  const head = el("div", { class: "code-head" }, el("span", {}, language || "code"), copyButton(() => code));
  return el("div", { class: "code-block" }, head, el("pre", { tabindex: "0", dir: "ltr" }, el("code", {}, code)));
}

function heading(line) {
  const [, marks, text] = HEADING.exec(line);
  return el(`h${Math.min(marks.length + 2, 6)}`, {}, ...inline(text)); // the page's h1 and h2 stand above any answer
}

function quote(lines, at) {
  const length = run(lines, at, (line) => QUOTE.test(line));
  const inner = lines.slice(at, at + length).map((line) => line.replace(QUOTE, ""));
  return [length, () => el("blockquote", {}, ...splitBlocks(inner).map((block) => block.render()))];
}

function list(lines, at) {
  const length = run(lines, at, (line, index) => ITEM.test(line) || (index > 0 && /^\s+\S/.test(line)));
  return [length, () => listNode(lines.slice(at, at + length))];
}

/** Lines that are indented deeper than the first belong to the item above them. */
function listNode(lines) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(mark);
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent.length) items.push({ text: item[3], inner: [] });
    else items.at(-1).inner.push(line.replace(/^( {1,4}|\t)/, ""));
  }
  const start = ordered && parseInt(mark, 10) !== 1 ? { start: parseInt(mark, 10) } : {};
  return el(ordered ? "ol" : "ul", start, ...items.map(itemNode));
}

function itemNode({ text, inner }) {
  return el("li", {}, ...inline(text), ...splitBlocks(inner).map((block) => block.render()));
}

function isTable(lines, at) {
  return lines[at].includes("|") && at + 1 < lines.length && lines[at + 1].includes("|") && DIVIDER.test(lines[at + 1]);
}

function table(lines, at) {
  const length = 2 + run(lines, at + 2, (line) => line.includes("|"));
  const row = (line, tag) => el("tr", {}, ...cells(line).map((cell) => el(tag, {}, ...inline(cell))));
  const body = () => lines.slice(at + 2, at + length).map((line) => row(line, "td"));
  const node = () => el("table", {}, el("thead", {}, row(lines[at], "th")), el("tbody", {}, ...body()));
  return [length, () => el("div", { class: "table", tabindex: "0" }, node())];
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function paragraph(lines, at) {
  const opens = (line) => FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || ITEM.test(line) || RULE.test(line);
  const length = run(lines, at, (line, index) => line.trim() && (index === 0 || !opens(line)));
  const parts = lines.slice(at, at + length).flatMap((line, index) => (index ? [el("br"), ...inline(line)] : inline(line)));
  return [length, () => el("p", {}, ...parts)];
}

/** How many lines from `at` on satisfy the test. */
function run(lines, at, test) {
  let length = 0;
  while (at + length < lines.length && test(lines[at + length], length)) length++;
  return length;
}

const INLINE = new RegExp(
  [
    "\\\\(?<escaped>[\\\\`*_{}\\[\\]()#+\\-.!|>~])",
    "(?<ticks>`+)(?<code>.{1,2000}?)(?<!`)\\k<ticks>(?!`)",
    "\\*\\*(?=\\S)(?<strong>.{1,2000}?)(?<=\\S)\\*\\*",
    "\\*(?=[^\\s*])(?<em>[^*]{1,2000}?)(?<=\\S)\\*",
    "(?<!\\w)_(?=\\S)(?<under>[^_]{1,2000}?)(?<=\\S)_(?!\\w)",
    "~~(?=\\S)(?<struck>.{1,2000}?)~~",
    "\\[(?<label>[^\\]]{1,500})\\]\\((?<href>[^()\\s]{1,2000})\\)",
    "(?<bare>https?:\\/\\/[^\\s<>()]{1,2000}[^\\s<>().,;:!?'\"*_])",
  ].join("|"),
  "g",
);

/** @param {string} text @returns {(Node|string)[]} */
function inline(text) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(at, match.index), inlineNode(match.groups, match[0]));
    at = match.index + match[0].length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

function inlineNode(found, whole) {
  if (found.escaped) return found.escaped;
  if (found.code) return el("code", {}, found.code.trim() || found.code);
  if (found.strong) return el("strong", {}, ...inline(found.strong));
  if (found.em ?? found.under) return el("em", {}, ...inline(found.em ?? found.under));
  if (found.struck) return el("del", {}, ...inline(found.struck));
  return link(found.href ?? found.bare, found.label ?? found.bare, whole);
}

function link(href, label, whole) {
  const url = URL.canParse(href) ? new URL(href) : null;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") return whole;
  return el("a", { href: url.href, rel: "noopener noreferrer nofollow", target: "_blank" }, label);
}
