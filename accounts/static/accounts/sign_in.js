// Posts the code in the address's fragment, after taking it out of the address and the history.
"use strict";

function submitCode() {
  const code = window.location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, "", window.location.pathname);
  const form = document.getElementById("sign-in");
  form.elements.code.value = code;
  form.elements.submit_button.disabled = true;
  form.elements.submit_button.textContent = "Signing in…";
  form.submit();
}

window.addEventListener("hashchange", submitCode); // a new link pasted into a tab that has the page open
submitCode();
