/**
 * The simulated clients: connections to Shields, their rooms, and reconnects as an SDK does them. Each operation
 * reaches its Shield as a call that waits while the Shield is paused.
 */
import { memberOf } from "../../shared/presence/testing/members.ts";
import type { Life } from "./life.ts";
import type { TrueMember } from "./truth.ts";
import type { ShieldProcess, World } from "./world.ts";
import { Viewer } from "./viewer.ts";

/** A client's intent for a room. */
interface Wish {
  readonly meta: string;
  readonly observer: boolean;
}

interface Client {
  readonly index: number;
  readonly tenant_id: string;
  readonly user_id: string;
  readonly wishes: Map<string, Wish>;
  connection: Connection | undefined;
  /** It wants to be connected. */
  present: boolean;
  connections: number;
}

/** One WebSocket. */
interface Connection {
  readonly id: string;
  readonly client: Client;
  readonly shield: ShieldProcess;
  readonly viewers: Map<string, Viewer>;
  open: boolean;
}

/** All clients of a world. */
export class Clients {
  readonly #clients = new Map<number, Client>();
  #storms = 0;

  constructor(readonly world: World) {
    world.onShieldGone = (life) => this.#onShieldGone(life);
  }

  #client(index: number): Client {
    let client = this.#clients.get(index);
    if (client === undefined) {
      client = {
        index,
        tenant_id: `t${index % this.world.schedule.tenants}`,
        // Two clients are one user.
        user_id: `u${index >> 1}`,
        wishes: new Map(),
        connection: undefined,
        present: false,
        connections: 0,
      };
      this.#clients.set(index, client);
    }
    return client;
  }

  join(index: number, room_id: string, wish: Wish): void {
    const client = this.#client(index);
    client.wishes.set(room_id, wish);
    client.present = true;
    if (client.connection === undefined) this.#connect(client, undefined);
    else this.#subscribe(client.connection, room_id, wish);
  }

  leave(index: number, room_id: string): void {
    const client = this.#client(index);
    client.wishes.delete(room_id);
    const { connection } = client;
    if (connection === undefined) return;
    connection.shield.life.enter("call", () => {
      if (connection.open) this.#unsubscribe(connection, room_id, true);
    });
  }

  /** The connection ends, deliberately or because it was lost. */
  end(index: number, deliberate: boolean, back_after_ms: number, shield?: string): void {
    const client = this.#client(index);
    const { connection } = client;
    if (connection === undefined) return;
    client.connection = undefined;
    client.present = back_after_ms > 0;
    this.#hangUp(connection, deliberate);
    if (client.present) this.#connectLater(client, back_after_ms, shield);
  }

  /** See the action `storm`. */
  storm(at: string, tenant_id: string, room_id: string, count: number, stay_ms: number): void {
    const shield = this.#pickShield(at);
    if (shield === undefined) return;
    const { life, machine } = shield;
    const storm = this.#storms++;
    const ids = Array.from({ length: count }, (_, index) => `${tenant_id}-storm${storm}-${index}`);
    life.enter("call", () => {
      for (const connection_id of ids) {
        const member = memberOf(connection_id, { tenant_id, room_id, issuer: "test" });
        this.world.truth.set({ ...member, life });
        machine.join(member);
      }
    });
    if (stay_ms === 0) return;
    this.world.timeline.after(stay_ms, () =>
      life.enter("call", () => {
        for (const connection_id of ids) {
          this.world.truth.delete(tenant_id, room_id, connection_id);
          machine.leave(tenant_id, room_id, connection_id, true);
        }
      }));
  }

  /** The Shield drains: its clients reconnect elsewhere. */
  sendAway(life: Life): void {
    for (const client of this.#clients.values()) {
      const { connection } = client;
      if (connection?.shield.life !== life) continue;
      client.connection = undefined;
      this.#hangUp(connection, false);
      this.#connectLater(client, this.world.random.int(1, 500), undefined);
    }
  }

  /** Differences between clients' views in a quiet world and the truth. */
  differences(): string[] {
    const differences: string[] = [];
    for (const client of this.#clients.values()) {
      if (client.wishes.size > 0 && client.present && client.connection === undefined) {
        differences.push(`client ${client.index} found no Shield`);
      }
      for (const [room_id, wish] of client.wishes) {
        const viewer = client.connection?.viewers.get(room_id);
        if (client.connection !== undefined && viewer === undefined) {
          differences.push(`client ${client.index} is not in ${room_id} with ${wish.meta}`);
        }
        const text = viewer?.differs();
        if (text !== undefined) differences.push(text);
      }
    }
    return differences;
  }

  #pickShield(wanted: string | undefined): ShieldProcess | undefined {
    const open = [...this.world.shields.values()]
      .filter(({ draining, life }) => !draining && life.paused_ms === undefined);
    const first = open.find(({ life }) => life.id === wanted);
    if (first !== undefined || open.length === 0) return first;
    return this.world.random.pick(open);
  }

  #connectLater(client: Client, delay_ms: number, wanted: string | undefined): void {
    this.world.timeline.after(delay_ms, () => {
      if (client.present && client.connection === undefined) this.#connect(client, wanted);
    });
  }

  #connect(client: Client, wanted: string | undefined): void {
    const shield = this.#pickShield(wanted);
    if (shield === undefined) return this.#connectLater(client, 300, wanted);
    const id = `${client.tenant_id}-c${client.index}n${client.connections++}`;
    const connection = { id, client, shield, viewers: new Map(), open: true };
    client.connection = connection;
    for (const [room_id, wish] of client.wishes) this.#subscribe(connection, room_id, wish);
  }

  #subscribe(connection: Connection, room_id: string, wish: Wish): void {
    connection.shield.life.enter("call", () => {
      if (!connection.open) return;
      const viewer = connection.viewers.get(room_id);
      if (viewer !== undefined) {
        // SUB again: new metadata, once the first is answered.
        if (viewer.entered && !viewer.options.observer) this.#enter(connection, room_id, wish);
        return;
      }
      this.#watch(connection, room_id, wish);
    });
  }

  #watch(connection: Connection, room_id: string, wish: Wish): void {
    const { id: connection_id, client: { tenant_id }, shield, viewers } = connection;
    const { observer } = wish;
    const viewer = new Viewer({
      world: this.world,
      life: shield.life,
      tenant_id,
      room_id,
      connection_id,
      observer,
    });
    viewers.set(room_id, viewer);
    viewer.open(shield.machine, (answered) => {
      if (!answered) {
        viewers.delete(room_id);
        this.#retry(connection, room_id);
        return;
      }
      viewer.entered = true;
      // Its current intent: it may have changed its metadata while it waited.
      if (!observer) {
        this.#enter(connection, room_id, connection.client.wishes.get(room_id) ?? wish);
      }
      viewer.answer();
    });
  }

  /** 503: the SUB had no effect; the client retries. */
  #retry(connection: Connection, room_id: string): void {
    this.world.timeline.after(500, () => {
      const wish = connection.client.wishes.get(room_id);
      if (wish !== undefined && connection.open && !connection.viewers.has(room_id)) {
        this.#subscribe(connection, room_id, wish);
      }
    });
  }

  #enter(connection: Connection, room_id: string, { meta }: Wish): void {
    const { id: connection_id, client: { tenant_id, user_id }, shield } = connection;
    const member = { tenant_id, room_id, connection_id, user_id, issuer: "test", meta };
    const isNew = this.world.truth.get(tenant_id, room_id, connection_id) === undefined;
    const held = this.#held(shield, member);
    this.world.truth.set({ ...member, life: shield.life });
    shield.machine.join(member);
    if (isNew && held > 0 && this.#held(shield, member) >= held) {
      this.world.violate(`${connection_id} came back to ${room_id}, and who was held stayed`);
    }
  }

  /** Connections of this user that have ended and are held at this Shield. */
  #held(
    { life, machine }: ShieldProcess,
    member: Pick<TrueMember, "tenant_id" | "room_id" | "user_id">,
  ): number {
    const { tenant_id, room_id, user_id } = member;
    const { truth } = this.world;
    const members = machine.view(tenant_id, room_id)?.members ?? [];
    return members.filter((seen) =>
      seen.user_id === user_id &&
      truth.get(tenant_id, room_id, seen.connection_id) === undefined &&
      truth.leftOf(tenant_id, room_id, seen.connection_id)?.life === life
    ).length;
  }

  #unsubscribe(connection: Connection, room_id: string, deliberate: boolean): void {
    const { id, client: { tenant_id }, shield, viewers } = connection;
    const viewer = viewers.get(room_id);
    if (viewer === undefined) return;
    viewers.delete(room_id);
    viewer.close();
    if (viewer.options.observer) return;
    this.world.truth.delete(tenant_id, room_id, id);
    shield.machine.leave(tenant_id, room_id, id, deliberate);
  }

  #hangUp(connection: Connection, deliberate: boolean): void {
    connection.shield.life.enter("call", () => {
      for (const room_id of [...connection.viewers.keys()]) {
        this.#unsubscribe(connection, room_id, deliberate);
      }
      connection.open = false;
    });
  }

  #onShieldGone(life: Life): void {
    for (const client of this.#clients.values()) {
      const { connection } = client;
      if (connection?.shield.life !== life) continue;
      connection.open = false;
      client.connection = undefined;
      this.#connectLater(client, this.world.random.int(1, 1_000), undefined);
    }
  }
}
