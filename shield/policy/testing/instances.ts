/**
 * Policies that allow everything and have many parts that matter only when an instance is made. They are assembled byte
 * by byte, since no compiler writes such modules. For the tests and benchmarks of the cost of instances.
 */
import { leb, moduleOf, section } from "../../../wasm/testing/bytes.ts";

/** The number of parts of a policy. */
export interface PolicyParts {
  readonly imports?: number;
  /** Exports of one function under different names. */
  readonly exports?: number;
  readonly exported_functions?: number;
  readonly functions?: number;
  readonly types?: number;
  readonly globals?: number;
  readonly tables?: number;
  readonly table_entries?: number;
  readonly elements?: readonly [segments: number, entries: number];
  readonly passive_elements?: readonly [segments: number, entries: number];
  readonly data?: readonly [segments: number, bytes: number];
  readonly pages?: number;
}

type Items = readonly (readonly number[])[];

const ZERO = [0x41, 0, 0x0b];
const text = (value: string) => {
  const bytes = new TextEncoder().encode(value);
  return [...leb(bytes.length), ...bytes];
};
const many = (count: number, make: (index: number) => number[]): Items =>
  Array.from({ length: count }, (_, index) => make(index));
const list = (id: number, items: Items): Items =>
  items.length === 0 ? [] : [section(id, [...leb(items.length), ...items.flat()])];
const filled = (count: number, value: number): number[] => Array<number>(count).fill(value);
const name = (index: number) => text(`e${index.toString(36)}`);

/** The segments of tables and memory. */
function segments(parts: PolicyParts, function_index: number) {
  const [active = 0, entries = 0] = parts.elements ?? [];
  const [passive = 0, passive_entries = 0] = parts.passive_elements ?? [];
  const [data = 0, bytes = 0] = parts.data ?? [];
  const indices = (count: number) => [...leb(count), ...filled(count, function_index)];
  return {
    elements: [
      ...many(active, () => [0, ...ZERO, ...indices(entries)]),
      ...many(passive, () => [1, 0, ...indices(passive_entries)]),
    ],
    data: many(data, () => [0, ...ZERO, ...leb(bytes), ...filled(bytes, 7)]),
  };
}

/** A valid policy for `on_message` with these parts. */
export function plainPolicy(parts: PolicyParts): Uint8Array<ArrayBuffer> {
  const imported = parts.imports ?? 0;
  const own = (parts.functions ?? 0) + (parts.exported_functions ?? 0);
  const allow = imported + 1;
  const entries = parts.table_entries ?? (parts.elements === undefined ? 0 : 10_000);
  const tables = entries > 0 || parts.tables !== undefined
    ? [[0x70, 0, ...leb(entries)], ...many(parts.tables ?? 0, () => [0x70, 0, 0])]
    : [];
  const { elements, data } = segments(parts, allow);
  return moduleOf(
    ...list(1, [
      [0x60, 1, 0x7f, 1, 0x7f],
      [0x60, 0, 1, 0x7f],
      [0x60, 3, 0x7f, 0x7f, 0x7f, 0],
      ...many(parts.types ?? 0, () => [0x60, 0, 0]),
    ]),
    ...list(2, many(imported, () => [...text("arqon_host_v1"), ...text("host_log"), 0, 2])),
    ...list(3, [[0], ...many(1 + own, () => [1])]),
    ...list(4, tables),
    ...list(5, [[0, ...leb(parts.pages ?? 1)]]),
    ...list(6, many(parts.globals ?? 0, () => [0x7f, 1, ...ZERO])),
    ...list(7, [
      [...text("memory"), 2, 0],
      [...text("arqon_alloc"), 0, ...leb(imported)],
      [...text("arqon_on_message"), 0, ...leb(allow)],
      ...many(parts.exports ?? 0, (index) => [...name(index), 0, ...leb(allow)]),
      ...many(parts.exported_functions ?? 0, (index) => [
        ...text(`f${index.toString(36)}`),
        ...[0, ...leb(allow + 1 + index)],
      ]),
    ]),
    ...list(9, elements),
    ...list(10, many(2 + own, () => [4, 0, ...ZERO])),
    ...list(11, data),
  );
}

/** Modules that every other limit accepts, and the refusal's text for the excess. */
export const GREEDY_INSTANCES: Readonly<
  Record<string, { readonly parts: () => PolicyParts; readonly what: RegExp }>
> = {
  "120,000 exports": { parts: () => ({ exports: 120_000 }), what: /its 120003 exports;/ },
  "9,000 exported functions": {
    parts: () => ({ exported_functions: 9_000 }),
    what: /its 9003 exports;/,
  },
  "90,000 table entries": {
    parts: () => ({ elements: [9, 10_000] }),
    what: /its 9 element segments with 90000 entries;/,
  },
  "90,000 entries in a passive segment": {
    parts: () => ({ passive_elements: [1, 90_000] }),
    what: /its 1 element segments with 90000 entries;/,
  },
  "120,000 globals": { parts: () => ({ globals: 120_000 }), what: /its 120000 globals;/ },
  "100,000 tables": { parts: () => ({ tables: 99_000 }), what: /its 99001 tables with 0 entries;/ },
  "30,000 imports": { parts: () => ({ imports: 30_000 }), what: /its 30000 imports;/ },
  "100,000 data segments": {
    parts: () => ({ data: [100_000, 0] }),
    what: /its 100000 data segments with 0 bytes;/,
  },
  "300,000 types": { parts: () => ({ types: 300_000 }), what: /its 300003 types;/ },
};
