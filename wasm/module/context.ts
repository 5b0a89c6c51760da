/**
 * What the index spaces of a module hold, for the validator. Types only.
 */
import type { FunctionType, GlobalType, TableType } from "./module.ts";

/** What bodies and segments may refer to; each list is an index space, imports first. */
export interface Context {
  readonly types: readonly FunctionType[];
  readonly functions: readonly FunctionType[];
  readonly tables: readonly TableType[];
  readonly memories: number;
  readonly globals: readonly GlobalType[];
  /** Globals that constant expressions may read: the imported ones. */
  readonly imported_globals: number;
  readonly element_types: readonly TableType["type"][];
  readonly data_count: number | undefined;
  /** Functions that `ref.func` in a body may name: those that the module names outside bodies. */
  readonly declared: ReadonlySet<number>;
}
