/**
 * The interface between the supervisor and a Shield that it started: the argument `--child`, and the one line on stdout
 * when the Shield serves.
 */
import type { Config } from "../../shared/config/schema.ts";

/** The place of one Shield among several. */
export interface ChildOptions {
  /** The number of the Shield, from 0 on. */
  readonly index: number;
  readonly processes: number;
  readonly node_id: string;
  /** The port of clients, shared by all Shields. */
  readonly port: number;
}

/** Ports on 127.0.0.1 that only the supervisor uses. */
export interface ChildPorts {
  readonly ops_port: number;
  readonly admin_port: number;
}

const LOOPBACK = "127.0.0.1";

const isPort = (value: unknown) =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) <= 65_535;

/** Parses `--child`. Throws TypeError for a text that the supervisor does not write. */
export function readChildOptions(text: string): ChildOptions {
  const value = objectIn(text);
  const { index, processes, node_id, port } = value;
  const is_one = Number.isInteger(index) && Number.isInteger(processes) && isPort(port) &&
    typeof node_id === "string";
  if (!is_one) throw new TypeError("--child is only for the supervisor of `shield --processes`");
  return value as unknown as ChildOptions;
}

/** Reads the line that says where a Shield serves; undefined for anything else. */
export function readChildPorts(line: string): ChildPorts | undefined {
  const { ops_port, admin_port } = objectIn(line);
  return isPort(ops_port) && isPort(admin_port)
    ? { ops_port, admin_port } as ChildPorts
    : undefined;
}

function objectIn(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

/**
 * The table for a child. Its supervisor sends requests over loopback and serves the operators' TLS itself; the token
 * stays.
 */
function plain<Table extends Config["ops"] | Config["admin"]>(table: Table): Table {
  const { tls_cert: _cert, tls_key: _key, ...rest } = table;
  return rest as Table;
}

/** The configuration of one of the node's Shields. */
export function childConfig(config: Config, { node_id, port }: ChildOptions): Config {
  return {
    ...config,
    server: { ...config.server, node_id, port },
    ops: { ...plain(config.ops), host: LOOPBACK, port: 0 },
    admin: { ...plain(config.admin), host: LOOPBACK, port: 0 },
  };
}
