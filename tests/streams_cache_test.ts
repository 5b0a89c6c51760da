/** Reads of streams through a real cache: nginx, which stores what an answer allows. */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import { startNginx } from "./proxies/proxies.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
drain_ms = 0
allowed_origins = ["https://a.example"]
${durableRooms("s-*")}
${durableRooms("s-public", 'http_cache = "public"')}
${durableRooms("s-private", 'http_cache = "private"')}
`;
const CACHE = "proxy_cache pages; add_header X-Cache-Status $upstream_cache_status always;";
const TEXT = { "content-type": "text/plain" };

Deno.test("streams through nginx with a cache", async (test) => {
  await using bus = await startLocalBus(CONFIG);
  await using nginx = await startNginx(Number(new URL(bus.http_url).port), false, CACHE);
  const authorization = `Bearer ${bus.token}`;
  const at = (origin: string, path: string, init: RequestInit) =>
    fetch(`${origin}/v1/streams/${path}`, init);
  const write = async (method: string, room: string, body?: string) => {
    const headers = { ...TEXT, authorization };
    const answer = await at(bus.http_url, room, { method, headers, ...(body ? { body } : {}) });
    await answer.body?.cancel();
    assert.ok(answer.ok, `${method} ${room}: ${answer.status}`);
  };
  const read = async (path: string, headers: Record<string, string> = { authorization }) => {
    const answer = await at(`http://127.0.0.1:${nginx.port}`, path, { headers });
    const { status, headers: got } = answer;
    const next = got.get("stream-next-offset") ?? "";
    return {
      status,
      text: await answer.text(),
      next,
      cache: got.get("x-cache-status"),
      readable_by: got.get("access-control-allow-origin"),
    };
  };

  await test.step("a page of a public room is cached for everybody, and a reader continues from it", async () => {
    await write("PUT", "s-public");
    await write("POST", "s-public", "one ");
    assert.equal((await read("s-public?offset=-1")).cache, "MISS");
    await write("POST", "s-public", "two ");
    const kept = await read("s-public?offset=-1", {});
    assert.deepEqual([kept.cache, kept.status, kept.text], ["HIT", 200, "one "]);
    // What a program has read is of no use to a page: its browser would refuse it.
    const page = await read("s-public?offset=-1", { origin: "https://a.example", authorization });
    assert.equal(page.readable_by, "https://a.example");
    let text = "";
    let offset = "-1";
    const pieces = Array.from({ length: 20 }, (_, at) => `${at} `);
    for (const piece of pieces) {
      const page = await read(`s-public?offset=${offset}`);
      [text, offset] = [text + page.text, page.next];
      await write("POST", "s-public", piece);
    }
    // The end is requested each time: an empty page is never cached.
    for (let page = await read(`s-public?offset=${offset}`); page.text !== "";) {
      [text, offset] = [text + page.text, page.next];
      page = await read(`s-public?offset=${offset}`);
    }
    assert.equal(text, `one two ${pieces.join("")}`);
  });

  for (const room of ["s-private", "s-none"]) {
    await test.step(`nothing of ${room} is kept, and each read is judged`, async () => {
      await write("PUT", room);
      await write("POST", room, "mine");
      for (let turn = 0; turn < 2; turn++) {
        const page = await read(`${room}?offset=-1`);
        assert.deepEqual([page.status, page.text, page.cache], [200, "mine", "MISS"]);
        assert.equal((await read(`${room}?offset=-1`, {})).status, 401);
      }
    });
  }
});
