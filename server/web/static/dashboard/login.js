// Asks for user and password until the API takes them.

import { Unreachable } from "./api.js";
import { word } from "./locale.js";

const dialog = document.getElementById("login");
const form = dialog.querySelector("form");
const button = form.querySelector(".main");
const fault = form.querySelector(".fault");
let why = "login_first";

dialog.addEventListener("cancel", (event) => event.preventDefault());

/** Returns once somebody is logged in; `reason` names the words that say what this is for. */
export async function login(api, reason) {
  why = reason;
  speakLogin();
  fault.textContent = "";
  form.elements.password.value = "";
  if (!dialog.open) dialog.showModal();
  (form.elements.user.value ? form.elements.password : form.elements.user).focus();
  while (!(await attempted(api)));
  form.elements.password.value = "";
  dialog.close();
}

export function speakLogin() {
  document.getElementById("login-why").textContent = word(why);
}

async function attempted(api) {
  await new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      resolve();
    }, { once: true });
  });
  fault.textContent = "";
  button.disabled = true;
  button.textContent = word("logging_in");
  try {
    if (await api.login(form.elements.user.value, form.elements.password.value)) return true;
    fault.textContent = word("login_wrong");
    form.elements.password.select();
  } catch (error) {
    fault.textContent =
      error instanceof Unreachable ? error.message || word("login_unreachable") : error.message;
  } finally {
    button.disabled = false;
    button.textContent = word("login");
  }
  return false;
}
