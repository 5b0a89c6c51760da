/** Signatures of the Pusher protocol, with the examples of its documentation, and similar invalid ones. */
import assert from "node:assert/strict";
import { isChannelAuth, requestProblem } from "./signature.ts";

const APP = { key: "278d425bdf160c739803", secret: "7ad3773142a6692b25b8" };
const utf8 = new TextEncoder();

Deno.test("the documentation's channels have the documented signatures", () => {
  const channel = { socket_id: "1234.1234", channel: "private-foobar", channel_data: undefined };
  const auth =
    "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
  assert.equal(isChannelAuth(APP, auth, channel), true);
  assert.equal(isChannelAuth(APP, auth, { ...channel, socket_id: "1234.1235" }), false);
  assert.equal(isChannelAuth(APP, auth, { ...channel, channel: "private-fooba" }), false);
  assert.equal(isChannelAuth(APP, auth, { ...channel, channel_data: "" }), false);
  assert.equal(isChannelAuth(APP, auth.slice(0, -1), channel), false);
  for (const odd of [undefined, 1, "", null]) assert.equal(isChannelAuth(APP, odd, channel), false);
  const presence = {
    socket_id: "1234.1234",
    channel: "presence-foobar",
    channel_data: '{"user_id":10,"user_info":{"name":"Mr. Channels"}}',
  };
  const word =
    "278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80";
  assert.equal(isChannelAuth(APP, word, presence), true);
});

Deno.test("only the documented signature of the documentation's request is valid", () => {
  const text = '{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}';
  const query = new URLSearchParams({
    auth_key: APP.key,
    auth_timestamp: "1353088179",
    auth_version: "1.0",
    body_md5: "ec365a775a4cd0599faeb73354201b6f",
    auth_signature: "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
  });
  const request = { method: "POST", path: "/apps/3/events", query, body: utf8.encode(text) };
  const now_ms = 1_353_088_179_000;
  const problem = (changed: Partial<typeof request>, at_ms = now_ms) =>
    requestProblem(APP, { ...request, ...changed }, at_ms, 600);
  assert.equal(problem({}), undefined);
  assert.equal(problem({}, now_ms + 600_000), undefined);
  assert.match(problem({}, now_ms + 601_000) ?? "", /auth_timestamp/);
  assert.match(problem({ body: utf8.encode(`${text} `) }) ?? "", /body_md5/);
  assert.match(problem({ body: new Uint8Array() }) ?? "", /body_md5/);
  assert.match(problem({ path: "/apps/3/batch_events" }) ?? "", /auth_signature/);
  assert.match(problem({ method: "GET" }) ?? "", /auth_signature/);
  const more = new URLSearchParams(query);
  more.append("info", "user_count");
  assert.match(problem({ query: more }) ?? "", /auth_signature/);
  assert.match(problem({ query: new URLSearchParams() }) ?? "", /auth_version/);
});
