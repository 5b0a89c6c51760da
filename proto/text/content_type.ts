/** How the text form shows data, by its content type: as JSON, as a string, or as base64. */
export type DataForm = "json" | "text" | "bytes";

/** Parameters and case do not matter; any `+json` type is JSON. An empty content type is bytes. */
export function dataForm(content_type: string): DataForm {
  const semicolon = content_type.indexOf(";");
  const essence = (semicolon < 0 ? content_type : content_type.slice(0, semicolon))
    .trim().toLowerCase();
  if (essence === "application/json" || essence.endsWith("+json")) return "json";
  return essence.startsWith("text/") ? "text" : "bytes";
}
