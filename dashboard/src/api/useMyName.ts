import { useTransport } from "@connectrpc/connect-query";
import { useSuspenseQuery } from "@tanstack/react-query";
import { whoAmI } from "./queries";

/** The name of who is signed in. */
export function useMyName(): string {
  const { data } = useSuspenseQuery(whoAmI(useTransport()));
  return data.name;
}
