/** A port whose listener dies: real listeners, closed without the door. */
import assert from "node:assert/strict";
import { until } from "../testing/until.ts";
import type { DoorOptions } from "./door.ts";
import { RuntimeDoor } from "./runtime_door.ts";
import type { FileRoom } from "./file_reserve.ts";

const HOST = "127.0.0.1";

type Listener = Pick<Deno.TcpListener, "addr" | "accept" | "close">;
interface Setting extends Partial<DoorOptions> {
  /** Opens the port; 0 at first. */
  readonly bind?: (port: number) => Listener;
}

/** A door that closes its connections, and its listeners. */
function accepting({ bind, ...options }: Setting = {}) {
  const listeners: Deno.TcpListener[] = [];
  const { promise: gone, resolve: onGone } = Promise.withResolvers<Error>();
  let came = 0;
  class Accepting extends RuntimeDoor {
    override listen(port: number) {
      if (bind !== undefined) return bind(port);
      const listener = Deno.listen({ hostname: HOST, port });
      listeners.push(listener);
      return listener;
    }
  }
  const acceptor = new Accepting({
    name: "client",
    host: HOST,
    port: 0,
    reuse_port: false,
    onVisitor({ stream }) {
      came++;
      stream.close();
    },
    rooms: () => ["plenty"],
    makeRoom: () => false,
    mayKeep: () => true,
    onRefused() {},
    onFilesOut() {},
    holdsFiles: () => false,
    onGone,
    gone_ms: 60_000,
    now: () => performance.now(),
    ...options,
  });
  const visit = async () => {
    const before = came;
    await until("a connection is accepted", async () => {
      if (came > before) return true;
      const conn = await Deno.connect({ hostname: HOST, port: acceptor.port }).catch(() =>
        undefined
      );
      conn?.close();
      return false;
    });
  };
  return { acceptor, listeners, gone, visit };
}

Deno.test("a dead listener is reopened on its port", async () => {
  const { acceptor, listeners, visit } = accepting();
  await visit();
  listeners[0]?.close();
  await visit();
  assert.equal(listeners.length, 2);
  assert.equal(acceptor.stats.reopened, 1);
  assert(acceptor.stats.accept_failures > 0);
  acceptor.close();
});

Deno.test("a late end of an old listener does not count for the new one", async () => {
  const { promise: ended, resolve: tell } = Promise.withResolvers<void>();
  let bound = 0;
  const { acceptor, visit } = accepting({
    bind(port) {
      const listener = Deno.listen({ hostname: HOST, port });
      bound++;
      const accept = async () => {
        const conn = await listener.accept().catch((error) => error);
        if (!(conn instanceof Error)) return conn;
        await ended;
        throw conn;
      };
      return { addr: listener.addr, accept, close: () => listener.close() };
    },
  });
  await visit();
  await acceptor.reopen();
  tell();
  await visit();
  assert.equal(bound, 2);
  assert.deepEqual(acceptor.stats, { accept_failures: 0, reopened: 1 });
  acceptor.close();
});

Deno.test("a port that another process has taken is given up after a timeout", async () => {
  using thief = Deno.listen({ hostname: HOST, port: 0 });
  const first = Deno.listen({ hostname: HOST, port: 0 });
  const { gone } = accepting({
    gone_ms: 200,
    bind: (port) => port === 0 ? first : Deno.listen({ hostname: HOST, port: thief.addr.port }),
  });
  first.close();
  assert((await gone) instanceof Deno.errors.AddrInUse);
});

Deno.test("a temporary failure is retried, and the port is given up only if no descriptor is in use", async () => {
  for (const holds of [true, false]) {
    let now_ms = 0;
    let failures = 0;
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const out = new Error("Too many open files (os error 24)");
    let filed = 0;
    const { acceptor, gone } = accepting({
      gone_ms: 100,
      now: () => now_ms,
      holdsFiles: () => holds,
      onFilesOut: () => void filed++,
      bind() {
        const listener = Deno.listen({ hostname: HOST, port: 0 });
        return {
          addr: listener.addr,
          accept() {
            now_ms += 60;
            if (++failures < 4) return Promise.reject(out);
            resolve();
            return listener.accept();
          },
          close: () => listener.close(),
        };
      },
    });
    if (holds) await over;
    else assert.equal(await gone, out);
    assert(filed >= 2);
    acceptor.close();
  }
});

Deno.test("a connection reset before its accept is not a failure of the port", async () => {
  const { promise: held, resolve: hold } = Promise.withResolvers<void>();
  const { acceptor, visit } = accepting({
    bind(port) {
      const listener = Deno.listen({ hostname: HOST, port });
      const accept = () => held.then(() => listener.accept());
      return { addr: listener.addr, accept, close: () => listener.close() };
    },
  });
  // As a load balancer probes a port.
  const code = `import socket, struct
for _ in range(5):
    peer = socket.create_connection(("${HOST}", ${acceptor.port}))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()`;
  const { success } = await new Deno.Command("python3", { args: ["-c", code] }).output();
  assert(success);
  hold();
  await visit();
  assert.deepEqual(acceptor.stats, { accept_failures: 0, reopened: 0 });
  acceptor.close();
});

Deno.test("no connection is accepted without room", async () => {
  let room: FileRoom = "none";
  const rooms: FileRoom[] = [];
  const { acceptor } = accepting({
    holdsFiles: () => true,
    rooms: () => [room],
    onVisitor({ stream, room }) {
      rooms.push(room);
      stream.close();
    },
  });
  const connect = () => Deno.connect({ hostname: HOST, port: acceptor.port });
  // Unknown before the first connection.
  using _first = await connect();
  await until("it is accepted", () => rooms.length === 1);
  using _second = await connect();
  await until("it has been tried twice", () => acceptor.stats.accept_failures > 1);
  assert.deepEqual(rooms, ["spare"]);
  room = "little";
  await until("it is accepted", () => rooms.length === 2);
  assert.deepEqual(rooms, ["spare", "little"]);
  acceptor.close();
});

Deno.test("the descriptor of a connection closed for a newcomer is awaited: the runtime closes it some turns later", async () => {
  let looks = 0;
  let ended = 0;
  const rooms: FileRoom[] = [];
  const { acceptor } = accepting({
    holdsFiles: () => true,
    rooms: () => [looks++ < 4 ? "none" : "plenty"],
    makeRoom: () => ++ended > 0,
    onVisitor({ stream, room }) {
      rooms.push(room);
      stream.close();
    },
  });
  using _newcomer = await Deno.connect({ hostname: HOST, port: acceptor.port });
  await until("it is accepted", () => rooms.length === 1);
  assert.deepEqual({ rooms, ended }, { rooms: ["plenty"], ended: 1 });
  acceptor.close();
});

Deno.test("when another port takes the descriptor of a closed connection, one more is closed, within a bound", async () => {
  let ended = 0;
  let needed = 3;
  const rooms: FileRoom[] = [];
  const { acceptor } = accepting({
    holdsFiles: () => true,
    rooms: () => [ended < needed ? "spare" : "plenty"],
    makeRoom: () => ++ended > 0,
    onVisitor({ stream, room }) {
      rooms.push(room);
      stream.close();
    },
  });
  const connect = () => Deno.connect({ hostname: HOST, port: acceptor.port });
  using _newcomer = await connect();
  await until("it is accepted", () => rooms.length === 1);
  assert.deepEqual({ rooms, ended }, { rooms: ["plenty"], ended: 3 });
  needed = Infinity;
  using _late = await connect();
  await until("it is accepted", () => rooms.length === 2);
  assert.deepEqual(rooms, ["plenty", "spare"]);
  assert(ended < 30, `${ended} were closed for one`);
  acceptor.close();
});
