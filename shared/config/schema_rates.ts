/** The rates of `[limits]`: how much a connection, a user, a tenant and the process may send. */
import { count } from "./values/schema_values.ts";

const MESSAGES_MAX = 10_000_000;
const BYTES_MAX = 10_737_418_240;
/**
 * The default rate: several times what a core can do. A bus that shares a process among tenants
 * sets less.
 */
const MESSAGES = 1_000_000;
const BYTES = 4_294_967_296;

/** The keys of rates in `[limits]`. Every burst is two seconds' worth. */
export const Rates = {
  messages_per_second: count(
    20_000,
    MESSAGES_MAX,
    "operations a second and connection; burst: twice that",
  ),
  bytes_per_second: count(
    33_554_432,
    BYTES_MAX,
    "bytes a second and connection; burst: twice that",
  ),
  user_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of a user, over all connections and HTTP requests; burst: twice that",
  ),
  user_bytes_per_second: count(
    BYTES,
    BYTES_MAX,
    "bytes per second of a user, over all connections and HTTP requests; burst: twice that",
  ),
  tenant_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of a tenant in this process; burst: twice that",
  ),
  tenant_bytes_per_second: count(
    BYTES,
    BYTES_MAX,
    "bytes per second of a tenant in this process; burst: twice that",
  ),
  process_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of this process, shared fairly by tenants; burst: twice that",
  ),
  process_bytes_per_second: count(
    BYTES,
    BYTES_MAX,
    "bytes per second of this process, shared fairly by tenants; burst: twice that",
  ),
};
