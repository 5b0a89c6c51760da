/** What only the sockets of package `ws` need: the frames of a turn leave by one write. */
import assert from "node:assert/strict";
import { UpgradeDuplex } from "../../shared/http1/upgrade_duplex.ts";
import { open } from "./testing/conformance.ts";
import { TEXT } from "./testing/conformance_peer.ts";
import { startHost } from "./testing/host.ts";

interface Writes {
  _write(...args: unknown[]): void;
  _writev(...args: unknown[]): void;
}

Deno.test({
  name:
    "ws: what is sent in one turn leaves by one write, in its order, and the next turn by another",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using host = await startHost("ws");
    const { peer, seen } = await open(host);
    using _peer = peer;
    const stream = UpgradeDuplex.prototype as unknown as Writes;
    const { _write, _writev } = stream;
    let writes = 0;
    stream._write = function (...args) {
      writes++;
      return _write.apply(this, args);
    };
    stream._writev = function (...args) {
      writes++;
      return _writev.apply(this, args);
    };
    try {
      for (let sent = 0; sent < 50; sent++) seen.socket.send(String(sent));
      for (let sent = 0; sent < 50; sent++) {
        const frame = await peer.frame();
        assert.equal(frame?.opcode, TEXT);
        assert.equal(new TextDecoder().decode(frame?.body), String(sent));
      }
      assert.equal(writes, 1);
      seen.socket.send("again");
      await peer.frame();
      assert.equal(writes, 2);
    } finally {
      Object.assign(stream, { _write, _writev });
    }
  },
});

Deno.test("ws: who pauses has not had all that one read has brought, and gets the rest in its order", async () => {
  const all = Uint8Array.from({ length: 60_000 }, (_, at) => at % 251);
  const chunks = [all];
  const stream = new UpgradeDuplex();
  const over = stream.run({
    read(into) {
      const chunk = chunks.shift();
      if (chunk === undefined) return Promise.resolve(null);
      const count = Math.min(chunk.length, into.length);
      into.set(chunk.subarray(0, count));
      if (count < chunk.length) chunks.unshift(chunk.slice(count));
      return Promise.resolve(count);
    },
    write: ({ length }) => Promise.resolve(length),
    closeWrite: () => Promise.resolve(),
    close() {},
  }, new Uint8Array(0));
  const heard: number[] = [];
  let [turns, most, counted] = [0, 0, 0];
  stream.on("data", (piece: Uint8Array) => {
    heard.push(...piece);
    stream.pause();
    // What one call of `push` brings comes before this.
    queueMicrotask(() => {
      most = Math.max(most, heard.length - counted);
      counted = heard.length;
      turns++;
      stream.resume();
    });
  });
  await new Promise((resolve) => stream.on("end", resolve));
  assert.deepEqual(new Uint8Array(heard), all);
  assert(most <= 4_096, `${most} bytes at once`);
  assert(turns >= 15, `${turns} turns`);
  assert.equal(stream.bytesRead, all.length);
  stream.destroy();
  await over;
});
