// Copies what a button names; keeps a form from being sent twice.
"use strict";

async function copy(source) {
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Only pages from https or localhost get the clipboard; the rest get the old way.
    source.select ? source.select() : window.getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
}

async function copyFrom(button) {
  await copy(document.getElementById(button.dataset.copy));
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function setSubmitsDisabled(isDisabled) {
  for (const submit of document.querySelectorAll(".submit-row input[type=submit], .key-danger")) submit.disabled = isDisabled;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copyFrom(button);
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("#apikey_form, .key-page form")) setTimeout(() => setSubmitsDisabled(true)); // after the form is read
});
window.addEventListener("pageshow", () => setSubmitsDisabled(false)); // come back with the Back button
