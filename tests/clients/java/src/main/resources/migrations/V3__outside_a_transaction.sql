create index concurrently fw_name on fw_author (fw_upper(name));
