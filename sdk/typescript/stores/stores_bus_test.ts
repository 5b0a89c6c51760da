// The stores on a real bus: messages, presence, state, locks, and lost connections.
import assert from "node:assert/strict";
import type { Reason } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { startTcpProxy } from "../../../tests/harness/tcp_proxy.ts";
import { connect } from "../mod.ts";
import { roomState } from "../state.ts";
import { type BusClient, createClient, type RoomView, type Store, whenReady } from "../stores.ts";
import { CLEAN } from "../testing/counted.ts";
import { quick, startRoom } from "../testing/scripted_peer.ts";

const CONFIG = '[[rooms]]\nroom = "kept-*"\ndurable = true\n';

/** A store with a subscriber, and all its views. */
interface Watched<View> extends Disposable {
  readonly views: View[];
  readonly last: View;
}

function hear<View>(store: Store<View>): Watched<View> {
  const views: View[] = [];
  const stop = store.subscribe((view) => void views.push(view));
  return {
    views,
    get last() {
      return views.at(-1)!;
    },
    [Symbol.dispose]: stop,
  };
}

async function clientFor(bus: TestBus, user: string, url = bus.url): Promise<BusClient> {
  const token = await bus.tokenFor({ user });
  return createClient({ url, token, backoff: { base_ms: 20, max_ms: 20 } });
}

const ready = (watched: Watched<RoomView>) => until("ready", () => watched.last.ready);

/** Nothing of the client is left: no connection, and the views are as in the beginning. */
async function assertStopped(client: BusClient): Promise<void> {
  await until("it has stopped", () => client.connection.get().state === "connecting");
}

async function history(bus: TestBus): Promise<void> {
  const ann = await clientFor(bus, "ann");
  const room = ann.room("kept-1");
  for (let n = 1; n <= 10; n += 1) await room.publish("n", n);
  await room.publish("other", 0);
  {
    const store = room.messages({ history: 4, type: "n", limit: 6 });
    using list = hear(store);
    const numbers = () => list.last.messages.map((message) => message.json());
    await ready(list);
    assert.deepEqual(numbers(), [8, 9, 10]);
    assert.equal(list.last.has_more, true);
    await store.more(3);
    assert.deepEqual(numbers(), [5, 6, 7, 8, 9, 10]);
    const { messages } = list.last;
    await room.publish("n", 11);
    await until("it has arrived", () => numbers().at(-1) === 11);
    assert.deepEqual(numbers(), [6, 7, 8, 9, 10, 11], "the oldest has left");
    assert.equal(list.last.messages[0], messages[1], "messages are the same objects");
    await store.more(100);
    assert.deepEqual(numbers(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.equal(list.last.has_more, false);
    assert.equal(room.messages({ type: "n", limit: 6, history: 4 }), store);
    assert.deepEqual(list.views.filter((view, at) => view === list.views[at + 1]), []);
    using plain = hear(ann.room("lobby").messages({ history: 5 }));
    await ready(plain);
    assert.equal(plain.last.error?.reason, "not-durable");
  }
  await assertStopped(ann);
  assert.deepEqual(room.messages({ history: 4, type: "n", limit: 6 }).get().messages, []);
}

async function presence(bus: TestBus): Promise<void> {
  const [ann, bob, eve] = await Promise.all(
    ["ann", "bob", "eve"].map((one) => clientFor(bus, one)),
  );
  const mine = ann!.room("here").presence, his = bob!.room("here").presence;
  mine.begin({ initial: { x: 0 } });
  his.begin({ throttle_ms: 50 });
  {
    using first = hear(mine);
    using second = hear(his);
    using watching = hear(eve!.room("here").members);
    const metas = (of: typeof first) => of.last.others.map(({ meta }) => meta);
    await until("both are seen", () => watching.last.others.length === 2);
    await until("he sees her", () => metas(second)[0] !== undefined);
    assert.deepEqual(metas(second), [{ x: 0 }]);
    assert.deepEqual(first.last.me, { x: 0 });
    await until("nobody sees himself or an observer", () => first.last.others.length === 1);
    assert.equal(watching.last.users, 2);
    const before = second.views.length;
    for (let x = 1; x <= 500; x += 1) mine.update({ x });
    assert.deepEqual(first.last.me, { x: 500 }, "the own metadata is shown at once");
    await until("the newest", () => (metas(second)[0] as { x: number }).x === 500);
    const seen = second.views.length - before;
    assert.ok(seen <= 3, `500 updates in one turn were seen as ${seen}`);
    const [her] = second.last.others;
    his.update((old) => old ?? "hello");
    await until("she sees him", () => metas(first)[0] === "hello");
    assert.equal(second.last.others[0], her, "who is the same is the same object");
  }
  for (const client of [ann!, bob!, eve!]) await assertStopped(client);
  assert.equal(mine.get().me, undefined);
}

async function later(bus: TestBus): Promise<void> {
  const ann = await clientFor(bus, "ann");
  for (const id of ["later", "kept-later"]) {
    const room = ann.room(id);
    using list = hear(room.messages());
    await ready(list);
    await room.publish("n", 1);
    await until("the first", () => list.last.messages.length === 1);
    {
      using here = hear(room.presence);
      await ready(here);
      await room.publish("n", 2);
      const texts = () => list.last.messages.map(({ signal, data }) => signal?.kind ?? `${data}`);
      const missing = id === "later" ? ["GAP"] : [];
      await until("the second", () => texts().at(-1) === "50");
      assert.deepEqual(texts(), ["49", ...missing, "50"]);
    }
    await ready(list);
  }
  await assertStopped(ann);
}

async function state(bus: TestBus): Promise<void> {
  const ann = await clientFor(bus, "ann"), bob = await clientFor(bus, "bob");
  const mine = ann.room("board").state, his = bob.room("board").state;
  {
    using first = hear(mine);
    using second = hear(his);
    await Promise.all([ready(first), ready(second)]);
    const done = mine.set("title", { text: "hello" });
    assert.deepEqual(first.last.state, { title: { text: "hello" } }, "shown at once");
    assert.equal(first.last.is_pending, true);
    const { title } = first.last.state;
    await done;
    await until("he has it", () => second.last.state["title"] !== undefined);
    await until("confirmed", () => !first.last.is_pending);
    assert.equal(first.last.state["title"], title, "what is equal is the same object");
    const long = "x".repeat(2_000);
    await his.set("long", long);
    await until("a value too long for a notification", () => first.last.state["long"] === long);
    assert.equal(first.last.state["title"], title);
    // Names that an object has anyway are keys as others.
    await his.set("__proto__", { is_admin: true });
    await until("it is a key", () => Object.hasOwn(first.last.state, "__proto__"));
    assert.equal((first.last.state as { is_admin?: boolean }).is_admin, undefined);
    await his.delete("__proto__");
    const refused = mine.set("", 1);
    assert.equal(Object.hasOwn(first.last.state, ""), true);
    await assert.rejects(refused);
    assert.equal(Object.hasOwn(first.last.state, ""), false, "as it was");
    assert.equal(first.last.is_pending, false);
    assert.ok(first.last.error);
    await mine.delete("long");
    await until("it is removed", () => !Object.hasOwn(second.last.state, "long"));
    assert.equal(first.last.error, undefined);
    await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? mine : his).set("count", n)));
    await until("they agree", () => {
      const both = [first.last, second.last];
      return both.every(({ is_pending }) => !is_pending) &&
        both[0]!.state["count"] === both[1]!.state["count"];
    });
  }
  await Promise.all([assertStopped(ann), assertStopped(bob)]);
}

async function locks(bus: TestBus): Promise<void> {
  const ann = await clientFor(bus, "ann"), bob = await clientFor(bus, "bob");
  const mine = ann.room("desk").lock, his = bob.room("desk").lock;
  {
    using first = hear(mine);
    using second = hear(his);
    assert.equal(await mine.acquire(), true);
    assert.ok(first.last.fence);
    await until("he knows", () => second.last.holder === "ann");
    assert.equal(await his.acquire(), false);
    assert.equal(second.last.error?.reason, "locked");
    const waiting = his.acquire({ wait_ms: 60_000 });
    assert.equal(second.last.is_waiting, true);
    await mine.release();
    assert.equal(first.last.fence, undefined);
    assert.equal(await waiting, true);
    await until("she knows", () => first.last.holder === "bob");
  }
  await Promise.all([assertStopped(ann), assertStopped(bob)]);
  // Without a subscriber the lock is released.
  await using plain = await connect({ url: bus.url, token: bus.token });
  await until("it is free", async () => !(await roomState(plain.room("desk")).get()).lock);
}

async function outage(bus: TestBus): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const url = new URL(bus.url);
  url.port = `${proxy.port}`;
  const ann = await clientFor(bus, "ann", url.href), bob = await clientFor(bus, "bob");
  {
    using status = hear(ann.connection);
    const room = ann.room("kept-outage");
    using values = hear(room.state);
    using list = hear(room.messages({ history: 10 }));
    using here = hear(room.presence);
    using there = hear(bob.room("kept-outage").presence);
    await Promise.all([values, list, here, there].map((one) => ready(one as Watched<RoomView>)));
    await until("they see each other", () => here.last.others.length === 1);
    await proxy.cut();
    await until("it has noticed", () => status.last.state === "waiting");
    await bob.room("kept-outage").state.set("a", 1);
    await bob.room("kept-outage").publish("n", 1);
    const waiting = room.state.set("b", 2);
    assert.equal(values.last.state["b"], 2, "shown, though there is no connection");
    proxy.restore();
    await waiting;
    await until(
      "everything has arrived",
      () => values.last.state["a"] === 1 && !values.last.is_pending,
    );
    assert.deepEqual(values.last.state, { a: 1, b: 2 });
    await until("the message", () => list.last.messages.length === 1);
    await until("one other", () => here.last.others.map((one) => one.user_id).join() === "bob");
    await until(
      "and he sees one",
      () => there.last.others.map((one) => one.user_id).join() === "ann",
    );
  }
  await Promise.all([assertStopped(ann), assertStopped(bob)]);
}

async function refused(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ ttl_seconds: -3_600 });
  const expired = createClient({ url: bus.url, token });
  {
    using status = hear(expired.connection);
    using values = hear(expired.room("board").state);
    await until("it has given up", () => status.last.state === "closed");
    await until("the store knows", () => values.last.error !== undefined);
    assert.equal(values.last.error?.reason, "token-expired");
    await assert.rejects(expired.room("board").publish("n", 1));
  }
  await assertStopped(expired);
  const claims = { grants: [{ room: "mine-*", actions: ["subscribe"] }] };
  const small = createClient({ url: bus.url, token: await bus.tokenFor({ claims }) });
  {
    using list = hear(small.room("other").messages());
    await until("it is refused", () => list.last.error?.reason === "not-granted");
  }
  await assertStopped(small);
}

async function late(bus: TestBus): Promise<void> {
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const url = new URL(bus.url);
  url.port = `${proxy.port}`;
  const ann = await clientFor(bus, "ann", url.href);
  const room = ann.room("kept-late");
  await room.publish("n", 1);
  const store = room.messages({ history: 5 });
  {
    using values = hear(room.state);
    await ready(values);
    proxy.holdAnswers();
    {
      using list = hear(store);
      await until("it has asked", () => list.last.is_loading);
    }
    await until("it has stopped", () => !store.get().is_loading);
    await proxy.cut();
    proxy.restore();
    // It detects the loss, and the request has failed, before this is answered.
    await room.publish("n", 2, { message_id: "second" });
    assert.equal(store.get(), store.initial, "what comes too late is not shown");
    using again = hear(store);
    await ready(again);
    assert.equal(again.last.messages.length, 2);
  }
  await assertStopped(ann);
}

async function putOut(bus: TestBus): Promise<void> {
  const ann = await clientFor(bus, "ann");
  const room = ann.room("out");
  const token = await bus.tokenFor({ role: "service", user: "mod" });
  await using mod = await connect({ url: bus.url, token });
  const out = mod.room("out");
  {
    using state = hear(room.state);
    using others = hear(room.presence);
    using lock = hear(room.lock);
    let end = () => {};
    const watch = () => ({
      version: 1,
      is_current: true,
      ended: new Promise<void>((resolve) => end = resolve),
      changed: (listener: () => void) => (listener(), () => {}),
      close() {},
    });
    using values = hear(room.values(watch));
    const all = [state, others, lock];
    for (const one of [...all, values]) await ready(one);
    const reasons = () => [...new Set(all.map(({ last }) => last.error?.reason))].join();
    end();
    await until("values, too", () => values.last.error?.reason === "disconnected");
    await out.kick({ user_id: "ann" });
    await until("all say it", () => reasons() === "disconnected");
    using list = hear(room.messages());
    await until("a later store enters again", () => reasons() === "");
    await ready(list);
    await out.publish("n", 1);
    await until("it receives", () => list.last.messages.at(-1)?.type === "n");
    await roomState(out).set("k", 1);
    await until("so does the state", () => state.last.state.k === 1);
    await out.ban("ann", { scope: "room" });
    await until("all say it", () => reasons() === "room-banned");
    using late = hear(room.messages({ type: "n" }));
    await until("a later store, too", () => late.last.error?.reason === "room-banned");
  }
  await assertStopped(ann);
}

async function waiting(bus: TestBus): Promise<void> {
  const ann = await clientFor(bus, "ann");
  const store = ann.room("kept-waiting").messages({ history: 1 });
  const promise = whenReady(store);
  assert.equal(whenReady(store), promise, "one promise for all");
  await promise;
  assert.equal(store.get().ready, true);
  assert.equal(whenReady(store), undefined);
  await assertStopped(ann);
}

Deno.test("messages of a backend that names no sender are in the list, changes of the state are not", async () => {
  await using peer = startRoom((line, sub) => {
    line.accept(sub);
    for (const type of ["ROOM_UPDATE", "order"]) line.say({ event: { type } });
  });
  const client = createClient(quick(peer.url).options);
  {
    using list = hear(client.room("lobby").messages());
    await until("it is there", () => list.last.messages.map(({ type }) => type).join() === "order");
  }
  await assertStopped(client);
});

Deno.test("a state that is read while no Brain serves or answers is there once one does", async () => {
  const refusals: [number, Reason][] = [[503, "brain-unavailable"], [408, "command-timeout"]];
  let asked = 0;
  await using peer = startRoom((line, sub) => line.accept(sub), (line, operation) => {
    if (operation.kind !== "publish") return;
    const { envelope } = operation;
    const refusal = refusals[asked++ % 3];
    if (refusal !== undefined) line.refuse(envelope, ...refusal, 10);
    else line.accept(envelope, { state: { k: 1 }, version: 1, epoch: "e" });
  });
  const client = createClient(quick(peer.url).options);
  {
    await using bus = await connect(quick(peer.url).options);
    using changes = roomState(bus.room("lobby")).changes();
    assert.equal((await changes.next()).value?.op, "state");
    assert.equal(asked, 3);
  }
  {
    using state = hear(client.room("lobby").state);
    await until("it is there", () => state.last.state.k === 1);
    assert.equal(state.last.error, undefined);
  }
  await assertStopped(client);
});

Deno.test("a state is asked for again for as long as no Brain serves", CLEAN, async () => {
  let is_served = false;
  let asked = 0;
  await using peer = startRoom((line, sub) => line.accept(sub), (line, operation) => {
    if (operation.kind !== "publish") return;
    const { envelope } = operation;
    asked += 1;
    if (is_served) line.accept(envelope, { state: { k: 1 }, version: 1, epoch: "e" });
    else line.refuse(envelope, 503, "brain-unavailable", 10);
  });
  const client = createClient({ ...quick(peer.url).options, request_timeout_ms: 1 });
  {
    using state = hear(client.room("lobby").state);
    await until("more often than a request's time allows", () => asked > 2);
    is_served = true;
    await until("it is there", () => state.last.state.k === 1);
    assert.equal(state.last.error, undefined);
  }
  await assertStopped(client);
});

Deno.test({
  name: "stores",
  ...CLEAN,
  async fn(t) {
    await using bus = await startBusWith(CONFIG);
    await t.step("messages: history, live ones, more, a limit", () => history(bus));
    await t.step("presence: others, and updates that are throttled", () => presence(bus));
    await t.step("presence that is added later", () => later(bus));
    await t.step("state: shown at once, undone if it is refused", () => state(bus));
    await t.step("a lock with a holder and a waiting client", () => locks(bus));
    await t.step("a lost connection leaves no hole and no ghost", () => outage(bus));
    await t.step("a refusal is an error of the view", () => refused(bus));
    await t.step("an answer after the end changes nothing", () => late(bus));
    await t.step(
      "a kick or a ban is an error of the views, and a later store enters again",
      () => putOut(bus),
    );
    await t.step("waiting for a store starts it", () => waiting(bus));
  },
});
