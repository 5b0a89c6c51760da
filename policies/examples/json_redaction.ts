// Refuses a JSON message in which a secret field is not redacted: its value must be null, empty or
// asterisks only. Looks at every depth and folds names, so that "Password" is "password" too.
// Messages of other content types pass.
import {
  allow,
  fold,
  JsonKind,
  JsonReader,
  Message,
  onMessage,
  reject,
  Verdict,
} from "../sdk/mod.ts";

const secret = new Set<string>();
["password", "passwd", "secret", "ssn", "card_number", "cvv", "iban"].forEach((name) => {
  secret.add(name);
});

function isJson(type: string): bool {
  return type == "application/json" || type.endsWith("+json");
}

function isRedacted(json: JsonReader): bool {
  if (json.kind == JsonKind.Null) return true;
  if (json.kind != JsonKind.String) return false;
  const text = json.text;
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) != 0x2A) return false;
  }
  return true;
}

function judge(m: Message): Verdict {
  if (!isJson(m.mediaType)) return allow();
  const json = new JsonReader(m.bytes);
  while (json.next()) {
    if (json.name.length == 0 || !secret.has(fold(json.name)) || isRedacted(json)) continue;
    return reject('the field "' + json.name + '" is not redacted', 422);
  }
  return json.failed ? reject("the payload is no JSON", 400) : allow();
}

onMessage(judge);
