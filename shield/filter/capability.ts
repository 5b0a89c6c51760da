/** The filters capability of a Shield. */
import type { Capability } from "../capability.ts";
import { SCHEMAS } from "../schema/capability.ts";
import { type Filters, startFilters } from "./filters.ts";

/** Subscribers receive messages that match their own filter, and that their claims allow. */
export const FILTERS: Capability<Filters> = {
  name: "filters",
  title: "subscribers receive messages that match their filter and their claims",
  config: ["filters"],
  room_class: ["filter"],
  open({ config, registry }, { running }) {
    const schemas = running.of(SCHEMAS)?.gate;
    const { ledger } = running.given;
    const filters = startFilters(config.filters, registry, { schemas, ledger });
    return { own: filters, gives: { filters, shares: filters.shares } };
  },
};
