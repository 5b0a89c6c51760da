/** The index for the message path gives the same result as a plain search, within its limits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ActiveChain, CACHED_ROOMS } from "./tenant_chain.ts";
import { applicable } from "./chain.ts";
import { HOOKS } from "../../../shared/records/verdict.ts";
import { binding } from "../testing/modules.ts";

const policies = fc.array(
  fc.record({
    room: fc.constantFrom("*", "chat-*", "chat-1", "c*", "other"),
    hooks: fc.subarray([...HOOKS], { minLength: 1 }),
  }),
  { maxLength: 8 },
).map((all) => all.map((more, at) => binding({ ...more, name: `p${at}` })));

Deno.test("the cached list of a room is the list of policies that apply to it", () => {
  const rooms = fc.array(fc.constantFrom("chat-1", "chat-2", "c", "other", "x"), { maxLength: 10 });
  fc.assert(fc.property(policies, rooms, (all, names) => {
    const chain = new ActiveChain(1, all);
    for (const room of names) {
      for (const hook of HOOKS) {
        const list = chain.applicable(hook, room);
        assert.deepEqual(list, applicable(all, hook, room));
        assert.equal(chain.applicable(hook, room), list, "the same for the same room and hook");
      }
    }
  }));
});

Deno.test("the number of cached rooms is limited, and rooms with equal lists share them", () => {
  const all = [binding({ room: "chat-*" }), binding({ name: "q", room: "a" })];
  const chain = new ActiveChain(1, all);
  const first = chain.applicable("on_message", "chat-0");
  for (let at = 1; at < CACHED_ROOMS; at++) {
    assert.equal(chain.applicable("on_message", `chat-${at}`), first);
  }
  assert.equal(chain.cached_rooms, CACHED_ROOMS);
  assert.equal(chain.applicable("on_message", "one-more").length, 0);
  assert.equal(chain.cached_rooms, 1);
  assert.equal(chain.applicable("on_message", "chat-0"), first);
  chain.forget();
  assert.equal(chain.cached_rooms, 0);
});

Deno.test("policies for every room, and hooks without policies, need no cache of rooms", () => {
  const chain = new ActiveChain(1, [
    binding({ name: "a" }),
    binding({ name: "b", room: "chat-*", hooks: ["on_connect"] }),
  ]);
  for (let at = 0; at < 100; at++) {
    assert.equal(chain.applicable("on_message", `r${at}`).length, 1);
    assert.equal(chain.applicable("on_connect", `r${at}`).length, 1);
    assert.equal(chain.applicable("on_subscribe", `r${at}`).length, 0);
  }
  assert.equal(chain.cached_rooms, 0);
});
