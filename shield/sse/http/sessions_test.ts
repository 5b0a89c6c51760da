/** Polls that reach another Shield than the stream's. `tests/http_connection_test.ts` has whole connections. */
import assert from "node:assert/strict";
import type { ClientCall } from "../../http/route.ts";
import { sessionRoutes, type SessionsContext } from "./sessions.ts";

Deno.test("the Shield with a stream is notified when the client of a forwarded poll disconnects", async () => {
  const forwarded: unknown[] = [];
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const [, poll] = sessionRoutes({
    forwarding: {
      forward(_kind: string, node: string, { poll, gone }: Record<string, string>) {
        forwarded.push([node, poll, gone]);
        return promise;
      },
    },
    rates: { take() {} },
    origins: { allowed_origins: [] },
    node_id: "two",
  } as unknown as SessionsContext);
  const url = new URL("http://127.0.0.1/v1/connections/c1?node=one&poll=4");
  const leaving = new AbortController();
  const answered = poll!.answer({
    request: new Request(url, { signal: leaving.signal }),
    url,
    names: { connection: "c1" },
    client: { identity: { tenant_id: "acme", user_key: "ann" }, remote_ip: "127.0.0.1" },
  } as unknown as ClientCall);
  assert.deepEqual(forwarded, [["one", "4", undefined]]);
  leaving.abort();
  assert.deepEqual(forwarded.slice(1), [["one", "4", "true"]]);
  resolve(new Uint8Array());
  assert.equal((await answered).status, 200);
});
