/** Methods of the server API that ask the whole cluster, of which a Shield does not answer. */
import assert from "node:assert/strict";
import { METHODS } from "./api_methods.ts";

type MethodContext = Parameters<NonNullable<ReturnType<typeof METHODS.get>>>[0];
type MethodCall = Parameters<NonNullable<ReturnType<typeof METHODS.get>>>[1];

const CALL = {
  params: new Map([["user", '"ann"']]),
  caller: { identity: { tenant_id: "acme", user_id: "centrifugo" } },
} as unknown as MethodCall;

/** Calls a method where these Shields answer, none with a row; `ordered` gets the receivers of its order. */
async function call(name: string, nodes: { answered: string[]; silent: string[] }) {
  const ordered: string[] = [];
  const context = {
    room_prefix: "",
    lists: () => ({ asker: { askAt: () => Promise.resolve({ answers: [], nodes }) } }),
    orders: () => (to: Iterable<string>) => Promise.resolve(void ordered.push(...to)),
  } as unknown as MethodContext;
  const outcome = await METHODS.get(name)!(context, CALL).then(
    ({ result }) => result,
    (error) => error.reason,
  );
  return { outcome, ordered };
}

Deno.test("an order goes to all Shields, and one that does not answer is reported", async () => {
  const whole = await call("disconnect", { answered: ["a", "b"], silent: [] });
  assert.deepEqual(whole, { outcome: {}, ordered: ["a", "b"] });
  const partial = await call("disconnect", { answered: ["a"], silent: ["b"] });
  assert.deepEqual(partial, { outcome: "process-unavailable", ordered: ["a"] });
});

Deno.test("a list without the answer of a Shield is refused, as it is for Pusher's backends", async () => {
  for (const name of ["channels", "info"]) {
    const { outcome } = await call(name, { answered: ["a"], silent: ["b"] });
    assert.equal(outcome, "process-unavailable", name);
  }
});
