# Perl's DBD::SQLite.
use strict; use warnings; use DBI;
my ($file, $action, $n) = @ARGV;
my $db = DBI->connect("dbi:SQLite:$file", "", "", { RaiseError => 1, PrintError => 0 });
$db->sqlite_busy_timeout(10_000);
my $insert = "INSERT INTO outbox (event, data, key) VALUES ('e', ?, ?)";
my %actions = (
  commit => sub {
    for my $i (0 .. $n - 1) {
      $db->begin_work;
      $db->do("INSERT INTO story (title) VALUES (?)", undef, $i);
      $db->do($insert, undef, "{\"n\":$i}", "k$i");
      $db->commit;
    }
  },
  rollback => sub { $db->begin_work; $db->do($insert, undef, "{}", "never"); $db->rollback; },
  bad      => sub { $db->do($insert, undef, "no JSON", "bad"); },
  ignore   => sub { $db->do($insert =~ s/INSERT/INSERT OR IGNORE/r, undef, "no JSON", "bad"); },
  upsert   => sub { $db->do("$insert ON CONFLICT (key) DO UPDATE SET data = excluded.data", undef, '{"n":"new"}', "k0"); },
  update   => sub { $db->do("UPDATE outbox SET tenant = 'acme'"); },
  empty    => sub {
    $db->begin_work; $db->do("DELETE FROM outbox"); $db->do("DELETE FROM sqlite_sequence WHERE name = 'outbox'"); $db->commit;
  },
);
$actions{$action}->();
$db->disconnect;
