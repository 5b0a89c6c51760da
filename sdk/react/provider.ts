/** The client of the bus for the components below a provider. */
"use client";
import { createContext, createElement, useContext, useEffect } from "react";
import type { ReactElement, ReactNode } from "react";
import type { BusClient } from "@arqon/sdk/stores";

const Client = createContext<BusClient | undefined>(undefined);

/** What `ArqonProvider` takes. */
export interface ProviderProps {
  /** Made once, outside of components: `createClient`. */
  readonly client: BusClient;
  readonly children?: ReactNode;
}

/** Gives the components below it the client, whose connection is open while this is mounted. */
export function ArqonProvider({ client, children }: ProviderProps): ReactElement {
  useEffect(() => client.connection.subscribe(() => {}), [client]);
  return createElement(Client.Provider, { value: client }, children);
}

/** The client of the next provider above. Throws an Error when there is none. */
export function useClient(): BusClient {
  const client = useContext(Client);
  if (!client) throw new Error("no <ArqonProvider> above");
  return client;
}
