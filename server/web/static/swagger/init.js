const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", shade);
shade();

const definition = document.querySelector("#definition");
const form = document.querySelector("#log-in");
const told = form.querySelector("output");
const documents = [...definition.options].map((option) => option.value);
const SCHEMES = ["SESSION", "bearer"]; // of the original routes, and of /v1
let token = null;

// The link of the page may name a document, but only one of these (CVE-2018-25031).
const named = new URLSearchParams(location.search).get("definition");
if (documents.includes(named)) definition.value = named;

const authorize = () => {
  if (token) SCHEMES.forEach((scheme) => ui.preauthorizeApiKey(scheme, token));
};

const ui = SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: definition.value,
  validatorUrl: null, // no document leaves for an outside validator
  queryConfigEnabled: false, // nor does a link choose another document
  deepLinking: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  onComplete: authorize,
});

definition.addEventListener("change", () => {
  const url = new URL(location.href);
  url.searchParams.set("definition", definition.value);
  url.hash = "";
  history.replaceState(null, "", url);
  ui.specActions.updateUrl(definition.value);
  ui.specActions.download(definition.value);
});

const basic = (user, password) => {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { user, password } = form.elements;
  told.textContent = "";
  try {
    const headers = { Authorization: basic(user.value, password.value) };
    // A browser that may send credentials of its own would ask for them after a 401.
    const response = await fetch("/login", { method: "POST", headers, credentials: "omit" });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.message ?? answer.status);
    token = answer.value_token;
    password.value = "";
    authorize();
    told.textContent = `Logged in as ${user.value}`;
  } catch (error) {
    told.textContent = error.message;
  }
});

// Not before this script listens: the browser itself would send the password in a URL.
form.querySelector("button").disabled = false;
