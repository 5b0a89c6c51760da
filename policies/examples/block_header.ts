// Refuses a connection whose upgrade request carries the header `X-Block-Me`, whatever its value.
import { allow, onConnect, reject } from "../sdk/mod.ts";

onConnect((r) => r.header("X-Block-Me") !== null ? reject("X-Block-Me is set") : allow());
