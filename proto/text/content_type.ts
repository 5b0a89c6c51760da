/** The representation of data in the text form, by content type: JSON, a string, or base64. */
export type DataForm = "json" | "text" | "bytes";

/** Ignores parameters and case; any `+json` type is JSON. An empty content type is bytes. */
export function dataForm(content_type: string): DataForm {
  const semicolon = content_type.indexOf(";");
  const essence = (semicolon < 0 ? content_type : content_type.slice(0, semicolon))
    .trim().toLowerCase();
  if (essence === "application/json" || essence.endsWith("+json")) return "json";
  return essence.startsWith("text/") ? "text" : "bytes";
}
