// Publishes a message in a room in the admin's own name. Schemas and policies apply to it as to every
// message.
import { segment } from "./api.js";
import { toast } from "./dialog.js";
import { el, setText } from "./element.js";
import { count } from "./format.js";
import { card, field } from "./page.js";

const JSON_TYPE = "application/json";
const TYPES = [JSON_TYPE, "text/plain", "application/octet-stream"];

const isJson = (type) => /^application\/json\b|\+json\b/i.test(type);
const isText = (type) => /^text\//i.test(type);

/** The body as text: JSON is sent as typed. Throws an Error with the problem of the data. */
export function messageBody(type, content_type, data) {
  const head = JSON.stringify({ type, content_type }).slice(0, -1);
  if (isText(content_type)) return `${head},"data":${JSON.stringify(data)}}`;
  if (!isJson(content_type)) return `${head},"data":${JSON.stringify({ base64: data.trim() })}}`;
  try {
    JSON.parse(data);
  } catch (error) {
    throw new Error(`The data is not JSON: ${error.message}`);
  }
  return `${head},"data":${data}}`;
}

function hintOf(content_type) {
  if (isJson(content_type)) return "JSON, sent as typed.";
  return isText(content_type) ? "Text, sent as typed." : "Bytes, in base64.";
}

/** The card with the form; `onTried()` is called after each message, including refused ones. */
export function createPublishCard({ api, user_id }, { tenant_id, room_id }, onTried) {
  const path = `/v1/rooms/${segment(tenant_id)}/${segment(room_id)}/messages`;
  const type = field("Type", { name: "type", required: true, value: "test" });
  const types = { name: "content_type", list: "content-types", required: true, value: JSON_TYPE };
  const content = field("Content type", types);
  const content_type = content.input;
  const data = el("textarea.mono", {
    name: "data",
    rows: 4,
    spellcheck: "false",
    value: '{"text":"A test message"}',
  });
  const hint = el("span", hintOf(JSON_TYPE));
  content_type.addEventListener("input", () => setText(hint, hintOf(content_type.value.trim())));
  const problem = el("p.problem", { role: "alert" });
  const button = el("button.primary", { type: "submit" }, "Publish");
  const form = el("form.form", [
    type,
    content,
    el("datalist", { id: "content-types" }, TYPES.map((value) => el("option", { value }))),
    el("label.whole", "Data", data, hint),
    problem,
    el("div.actions", button),
  ]);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    setText(problem, "");
    try {
      const body = messageBody(type.input.value, content_type.value.trim(), data.value);
      const { offset } = await api.post(path, body);
      const at = offset === undefined ? "" : ` with offset ${count(offset)}`;
      toast(`The message was published${at}.`, "ok");
    } catch (error) {
      setText(problem, error.message);
    } finally {
      button.setAttribute("aria-disabled", "false");
      onTried();
    }
  });
  return card("Publish a test message", [
    el("p.hint", [
      `All subscribers of the room receive it, from ${user_id}, as a normal message: the token's `,
      "grants, schemas, policies and quotas apply. Clients can recognise it by its header ",
      el("code", "x-arqon-admin"),
      ".",
    ]),
    form,
  ]);
}
