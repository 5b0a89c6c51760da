/** The form of a message that a content type selects. Pure. */

const BINARY: ReadonlySet<string> = new Set([
  "",
  "application/protobuf",
  "application/x-protobuf",
  "application/octet-stream",
]);

/** The content type without parameters, in lower case. */
export function essenceOf(content_type: string): string {
  const semicolon = content_type.indexOf(";");
  return (semicolon < 0 ? content_type : content_type.slice(0, semicolon)).trim().toLowerCase();
}

/** The selected form; undefined: neither. */
export function formOf(content_type: string): "binary" | "json" | undefined {
  const type = essenceOf(content_type);
  if (BINARY.has(type)) return "binary";
  return type === "application/json" ? "json" : undefined;
}
