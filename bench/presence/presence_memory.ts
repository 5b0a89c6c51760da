/** Measures what a member costs a Brain in memory, for different numbers of members in a room. */
import type { MemoryFigures, MemoryPlan } from "./presence_memory_child.ts";
import { runProgram } from "../measure/program.ts";
import { renderRows } from "../measure/table.ts";

/** One row of the table: a plan with its figures. */
export interface MemoryRow extends MemoryPlan, MemoryFigures {
  readonly name: string;
  /** Bytes of a member on the heap and outside of it. */
  readonly member_bytes: number;
}

function plansOf(members: number): (MemoryPlan & { name: string })[] {
  const rooms = Math.ceil(members / 100);
  const each = { members, rooms_per_connection: 1, meta: true };
  return [
    { name: "one room", ...each, rooms: 1 },
    { name: "one room, no metadata", ...each, rooms: 1, meta: false },
    { name: "100 in a room", ...each, rooms },
    { name: "100 in a room, 10 rooms a connection", ...each, rooms, rooms_per_connection: 10 },
    { name: "a room each", ...each, rooms: members },
  ];
}

/** Measures each row in a process of its own, one after the other. */
export async function measureMemory(members: number): Promise<MemoryRow[]> {
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  const rows: MemoryRow[] = [];
  for (const { name, ...plan } of plansOf(members)) {
    console.error(`presence: memory of ${members} members, ${name} ...`);
    const flags = [...permissions, "--v8-flags=--expose-gc"];
    const figures = await runProgram<MemoryFigures>(
      "bench/presence/presence_memory_child.ts",
      flags,
      [JSON.stringify(plan)],
    );
    const member_bytes = (figures.heap_bytes + figures.external_bytes) / members;
    rows.push({ name, ...plan, ...figures, member_bytes });
  }
  return rows;
}

/** The table of the rows, one for each plan. */
export function renderMemory(rows: readonly MemoryRow[]): string {
  return renderRows(
    ["memory of a Brain", "members", "rooms", "MB", "B/member"],
    rows.map(({ name, members, rooms, heap_bytes, external_bytes, member_bytes }) => [
      name,
      String(members),
      String(rooms),
      ((heap_bytes + external_bytes) / 1e6).toFixed(1),
      member_bytes.toFixed(0),
    ]),
  );
}
