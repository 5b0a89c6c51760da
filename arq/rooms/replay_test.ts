// What a replay keeps and how it resumes; `kept_test.ts` has the real bus.
import assert from "node:assert/strict";
import { clientHeaders, resumeCommand } from "../commands/room/room_history.ts";

Deno.test("only the publisher's own headers stay, whatever the case of the others", () => {
  const headers = {
    "X-Twist-ID": "1",
    "x-timestamp": "2",
    "X-Arqon-Shadow": "3",
    "x-arqo": "4",
    kind: "5",
  };
  assert.deepEqual({ ...clientHeaders(headers) }, { "x-arqo": "4", kind: "5" });
  const odd = clientHeaders(JSON.parse('{"__proto__":"x"}'));
  assert.equal(JSON.stringify(odd), '{"__proto__":"x"}');
});

Deno.test("the command to continue names everything except the token", () => {
  const flags = { to: "copy", from: 7, epoch: "e1", until: 9, rate: 50, window: 1, token: "x" };
  assert.equal(
    resumeCommand("orders", { ...flags, context: "prod", tokenFile: "t.jwt" }),
    "arq room replay orders --to copy --from 7 --epoch e1 --until 9 --rate 50 --window 1 " +
      "--context prod --token-file t.jwt",
  );
});
