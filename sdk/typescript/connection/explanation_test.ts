/** Which question a message or an error becomes. That the bus answers it is `tests/sdk_explain_test.ts`. */
import assert from "node:assert/strict";
import { ArqonError, type Welcome } from "@arqon/proto";
import { explain, type Explainable, type ExplainOptions } from "./explanation.ts";

const WELCOME = { tenant_id: "acme", user_id: "ann", connection_id: "c1" } as Welcome;
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SENT = { room: "hall", message_id: "", trace_id: TRACE, offset: 0 };

const why = (what: Explainable, options?: ExplainOptions) =>
  explain({ welcome: WELCOME }, what, options).command.replace("arq why --tenant acme ", "");

Deno.test("a message is named by its most specific id: id, offset, message_id, trace", () => {
  const message = {
    ...SENT,
    id: "01a1f7f3-22d2-701f-a20e-41c47451d963",
    message_id: "m",
    offset: 7,
  };
  assert.equal(why(message), `--twist ${message.id} --room hall`);
  assert.equal(why({ ...message, id: "" }), "--room hall --offset 7");
  assert.equal(why({ ...SENT, offset: 7n }), "--room hall --offset 7");
  assert.equal(why({ ...SENT, message_id: "m" }), "--message-id m --room hall");
  assert.equal(why(SENT, { user: "bob" }), `--trace ${TRACE} --room hall --user bob`);
  assert.throws(() => why({ ...SENT, trace_id: "" }), TypeError);
  assert.throws(() => why(SENT, { user: "a", connection: "c" }), /user or connection/);
});

Deno.test("an error is queried by its trace and connection, otherwise by its user", () => {
  const of = (trace_id: string, connection_id: string) =>
    new ArqonError("rate-limited", "", { trace_id, connection_id });
  assert.equal(why(of(TRACE, "c9")), `--trace ${TRACE} --connection c9`);
  assert.equal(why(of("", "c9")), "--connection c9");
  assert.equal(why(of("", "")), "--user ann");
  assert.equal(why(of(TRACE, "c9"), { user: "bob" }), `--trace ${TRACE} --user bob`);
});

Deno.test("a value is quoted for a shell, for a path and for the console's address", () => {
  const sent = { ...SENT, message_id: "-it's $(1)&" };
  const { command, path, url } = explain({ welcome: WELCOME }, sent, {
    console_url: "https://a.example/console/",
  });
  assert.equal(command, "arq why --tenant acme --message-id='-it'\\''s $(1)&' --room hall");
  assert.equal(path, "/v1/why?tenant=acme&message_id=-it%27s+%24%281%29%26&room=hall");
  assert.equal(url, `https://a.example/console/#${path.replace("/v1", "")}`);
  assert.equal(explain({ welcome: WELCOME }, sent).url, undefined);
});
