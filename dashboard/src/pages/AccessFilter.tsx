import { Button, Group, Select, TextInput } from "@mantine/core";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { type AccessSearch, pb } from "../paths";

const route = getRouteApi("/signed-in/access");

interface Props<T extends string> {
  /** What a part of is looked for. */
  label: string;
  /** A list to choose from: the part of the address that it sets, and its values. */
  choice?: { label: string; sets: "state" | "kind"; values: readonly T[]; none: string };
}

/** The filter of a tab, which lives in the address. */
export function AccessFilter<T extends string>({ label, choice }: Props<T>) {
  const { user: _, ...search } = route.useSearch();
  const navigate = useNavigate();
  const go = (change: AccessSearch) => navigate(pb.access({ ...search, ...change }));
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    void go({ q: String(new FormData(event.currentTarget).get("q") ?? "") || undefined });
  };
  return (
    <form onSubmit={submit} aria-label="Filter">
      <Group align="flex-end">
        {choice && (
          <Select
            label={choice.label}
            w={170}
            clearable
            placeholder={choice.none}
            data={choice.values}
            value={choice.values.find((value) => value === search[choice.sets]) ?? null}
            onChange={(value) => go({ [choice.sets]: value ?? undefined })}
          />
        )}
        <TextInput label={label} name="q" defaultValue={search.q} key={search.q} />
        <Button type="submit" variant="default">
          Filter
        </Button>
      </Group>
    </form>
  );
}
