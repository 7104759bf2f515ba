const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", shade);
shade();

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "/swagger.json",
  validatorUrl: null, // no document leaves for an outside validator
  queryConfigEnabled: false, // nor does a link choose another document (CVE-2018-25031)
  deepLinking: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
});
