import type { UseFormReturnType } from "@mantine/form";

/** What a field needs of a form that holds lists of rows under these names, whatever else it holds. */
export type RowsForm<List extends string, Row> = Pick<
  UseFormReturnType<Record<List, Row[]>>,
  "values" | "getInputProps" | "insertListItem" | "removeListItem"
>;
