/** Provides the bus client to components. */
"use client";
import { createContext, createElement, useContext, useEffect } from "react";
import type { ReactElement, ReactNode } from "react";
import type { BusClient } from "@arqon/sdk/stores";

const Client = createContext<BusClient | undefined>(undefined);

/** The props of `ArqonProvider`. */
export interface ProviderProps {
  /** The result of `createClient`, called once, outside of components. */
  readonly client: BusClient;
  readonly children?: ReactNode;
}

/** Provides the client to the components below it, and keeps its connection open while mounted. */
export function ArqonProvider({ client, children }: ProviderProps): ReactElement {
  useEffect(() => client.connection.subscribe(() => {}), [client]);
  return createElement(Client.Provider, { value: client }, children);
}

/** The client of the nearest provider above. Throws an Error if there is none. */
export function useClient(): BusClient {
  const client = useContext(Client);
  if (!client) throw new Error("no <ArqonProvider> above");
  return client;
}
