DROP TABLE backup_recipient;
