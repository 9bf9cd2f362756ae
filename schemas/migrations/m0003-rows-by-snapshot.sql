-- A snapshot's rows are read together: to refresh the online rows, and to remove what an interrupted attempt wrote.
-- Snapshots arrive in order, so that the index only grows at its end.
create index feature_row_snapshot on naura.feature_row (view_id, number, row_number);
create index label_row_snapshot on naura.label_row (dataset, column_name, number);
