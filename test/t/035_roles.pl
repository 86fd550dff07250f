# 035_roles.pl
#     Who reads what: every kind of role on every path by which a value, or an answer
#     about one, leaves the server. What must come out follows from the role's grants
#     by the rules of docs/roles.md (SdesReading.pm has them as code).
#
#     Every byte that the server sent is looked at. Where neither plaintext nor an
#     answer is due there is no value of the table in them, nor in the server's log.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SdesTest;
use SdesReading;
use SdesWire;
use Test::More;

# ---- roles ----
# What each was granted on buckets pii (texts), pay and shop (card numbers) and vault (whose
# values the HSM opens), and how it comes to be who it is: `become` by SET ROLE after login.

my %GRANTED = (
    reader => [ 'decrypt' ],
    app => [ 'encrypt', 'search', 'decrypt' ],
    searcher => [ 'search' ],
    writer => [ 'encrypt' ],
    support => [ 'mask' ],
    support_search => [ 'mask', 'search' ],
    auditor => [ 'mask', 'decrypt' ],
    boss_reader => [ 'decrypt' ],
    late => [ 'decrypt' ],
);
# On bucket other. PUBLIC does not reach superusers.
my %ELSEWHERE = (public => ['decrypt'], app => ['encrypt'], passerby => [ 'encrypt', 'search' ]);

my %ROLES = (
    (map { $_ => {} } qw(reader app searcher writer support support_search auditor nobody late passerby officer)),
    owner => { owns => 1 },
    boss => { super => 1 },
    boss_reader => { super => 1 },
    boss_as_reader => { login => 'boss', become => 'reader' },
    boss_session_reader => { login => 'boss', become => 'reader', by => 'SESSION AUTHORIZATION' },
    boss_reader_as_reader => { login => 'boss_reader', become => 'reader' },
    boss_reader_as_nobody => { login => 'boss_reader', become => 'nobody' },
    switcher => {},
    switcher_as_reader => { login => 'switcher', become => 'reader' },
    member => { inherits => ['app'] },
    revoked => {},
    all_data => {},
    reborn => {},
);

# What a role holds by its own name and those it inherits from.
sub holds
{
    my ($role, $granted) = @_;
    my @names = ($role, $ROLES{$role}{super} ? () : ('public', @{ $ROLES{$role}{inherits} // [] }));
    return { map { $_ => 1 } map { @{ $granted->{$_} // [] } } @names };
}

# What it may do as it works: a superuser behind it must hold the privilege as well.
sub effective
{
    my ($role, $granted) = @_;
    my $login = $ROLES{$role}{login} or return holds($role, $granted);
    my $current = holds($ROLES{$role}{become}, $granted);
    return $current if !$ROLES{$login}{super};
    my $behind = holds($login, $granted);
    return { map { $_ => 1 } grep { $behind->{$_} } keys %$current };
}

# All that the rules ask of a role.
sub properties
{
    my ($role) = @_;
    my $login = $ROLES{$role}{login} // $role;
    my %is = %{ $ROLES{$role} };
    # What a function of a role with decrypt may do for it.
    $is{behind} = $ROLES{$login}{super} ? holds($login, \%GRANTED) : { decrypt => 1 };
    # A user mapping logs in as the current role.
    $is{mapped} = holds($ROLES{$role}{become} // $role, \%GRANTED);
    $is{elsewhere} = effective($role, \%ELSEWHERE);
    $is{guesses} = grep { $_->{encrypt} || $_->{search} } effective($role, \%GRANTED), $is{elsewhere};
    return \%is;
}

# ---- the server ----

my $node = new_cluster('roles', conf => <<'CONF');
wal_level = logical
max_replication_slots = 2
log_statement = none
log_replication_commands = off
log_line_prefix = '%a %u: '
autovacuum = off
jit = off
CONF
my @logins = sort grep { !$ROLES{$_}{login} } keys %ROLES;
my $connection = "host '" . $node->host . "', port '" . $node->port . "', dbname 'postgres'";

sub admin
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql);
}

sub rows
{
    my ($format) = @_;
    return join ', ', map { sprintf $format, $_, @{ $VALUES{$_} }[ 0, 0, 1 ] } sort keys %VALUES;
}

admin(join ';', 'CREATE ROLE common', map { "CREATE ROLE $_ LOGIN REPLICATION IN ROLE common" } @logins);
admin(<<'SQL');
ALTER ROLE boss SUPERUSER;
ALTER ROLE boss_reader SUPERUSER;
ALTER ROLE switcher NOINHERIT;
GRANT reader TO switcher;
GRANT app TO member;
GRANT pg_read_all_data, pg_write_all_data TO all_data;
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE EXTENSION sdes;
CREATE EXTENSION postgres_fdw;
GRANT sdes_admin, sdes_officer, sdes_auditor, pg_monitor TO officer;
SELECT sdes.create_bucket(b) FROM unnest('{pii,pay,shop,other}'::text[]) AS b;
SELECT sdes.create_bucket('vault', mode => 'hsm');
SELECT sdes.grant_access(b, 'postgres', '{encrypt,search,decrypt}') FROM unnest('{pii,pay,shop,vault,other}'::text[]) AS b;
SELECT sdes.grant_access('pii', r, '{decrypt}') FROM unnest('{reborn,revoked}'::text[]) AS r;
DROP ROLE reborn;
CREATE ROLE reborn LOGIN REPLICATION IN ROLE common;
SQL
for my $role (grep { $_ ne 'late' } sort keys %GRANTED)
{
    my $list = join ',', @{ $GRANTED{$role} };
    # Force, as a mask and search together are refused for card numbers.
    admin("SELECT sdes.grant_access(b, '$role', '{$list}', true) FROM unnest('{pii,pay,shop,vault}'::text[]) AS b");
}
admin("SELECT sdes.grant_access('other', '$_', '{" . join(',', @{ $ELSEWHERE{$_} }) . "}')")
    for sort keys %ELSEWHERE;
admin($SCHEMA);
admin("INSERT INTO person (id, email, login, note, card, tag) VALUES " . rows("(%d, '%s', '%2\$s', '%s', '%s', 'heron.r2')"));
admin(<<"SQL");
SELECT pg_create_logical_replication_slot('watch', 'test_decoding');
INSERT INTO twin VALUES ${\ rows("(%d, '%s', '%s')")};
INSERT INTO plain VALUES (2, '$GUESS');
INSERT INTO inside VALUES ${\ rows("(%d, '%s')")};
INSERT INTO cards VALUES ${\ rows("(%d, '%4\$s')")};
SELECT fill();
ANALYZE person, frequent;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($connection);
GRANT USAGE ON FOREIGN SERVER loop TO PUBLIC;
CREATE FOREIGN TABLE far_text (id int, email text) SERVER loop OPTIONS (table_name 'person');
CREATE FOREIGN TABLE far_sealed (id int, email sdes.enc_text('pii')) SERVER loop OPTIONS (table_name 'person');
GRANT ALL ON ALL TABLES IN SCHEMA public TO ${\ join ', ', grep { $_ ne 'all_data' } @logins }, common;
SQL
admin("CREATE USER MAPPING FOR $_ SERVER loop OPTIONS (user '$_', password_required 'false')") for @logins;
my $armor = admin("SELECT sdes.enc_text_out(email) FROM person WHERE id = 1");

# ---- one cell ----

my @canaries = map { @$_ } values %VALUES;
my $canary = join '|', map { (quotemeta($_), unpack('H*', $_)) } @canaries;
my $mask = join '|', 'w\*{31}', quotemeta '4012 8888 **** 1881';

# What came out, in the words of the rules.
sub outcome
{
    my ($reply) = @_;
    my ($state) = @{ $reply->{states} };
    my ($message) = @{ $reply->{messages} };
    my @found;
    push @found, 'plaintext' if $reply->{bytes} =~ /$canary/;
    push @found, 'mask' if $reply->{bytes} =~ /$mask/;
    push @found, 'armor' if $reply->{bytes} =~ /sdes1:[-\w]{40}/;
    if (defined $state)
    {
        $state = 'denied search' if $message =~ /^permission denied to make search tokens/;
        $state = "denied $1" if $state eq '42501' && $message =~ /^permission denied to (\w+) values of bucket/;
        unshift @found, $state;
    }
    return join '+', @found if @found;
    return 'answer ' . join ',', map { $_->[0] // 'NULL' } @{ $reply->{rows} };
}

# Runs a path's statements and puts the replies together. The rows are the last ones.
sub run_path
{
    my ($session, $path) = @_;
    my %all = (bytes => '', rows => [], states => [], messages => []);
    my @statements = map { ref eq 'HASH' && $_->{sql} ? $_->{sql}->($session) : $_ } @{ $path->{run} };
    for my $statement ('BEGIN', @statements, 'ROLLBACK')
    {
        my $reply = !ref $statement ? $session->{wire}->query($statement)
            : $statement->{bytes} ? $statement->{bytes}->($session)
            : $session->{wire}->extended(@$statement{qw(extended parameters binary)});
        $all{bytes} .= $reply->{bytes};
        $all{rows} = $reply->{rows} if @{ $reply->{rows} };
        push @{ $all{$_} }, @{ $reply->{$_} } for qw(states messages);
    }
    return \%all;
}

# A role at work: { wire, role, armor }.
package Session
{
    sub new
    {
        my ($class, $role) = @_;
        my $login = $ROLES{$role}{login} // $role;
        my $wire = SdesWire->new($node, $login, 'postgres', $role);
        my $by = $ROLES{$role}{by} // 'ROLE';
        $wire->query("SET $by $ROLES{$role}{become}") if $ROLES{$role}{become};
        return bless { wire => $wire, role => $role, login => $login, armor => $armor }, $class;
    }

    # pg_dump of the table with that option, whatever it prints.
    sub dump
    {
        my ($self, @options) = @_;
        my $become = $ROLES{ $self->{role} }{become};
        push @options, "--role=$become" if $become;
        local $ENV{PGAPPNAME} = $self->{role};
        my ($out, $err) = PostgreSQL::Test::Utils::run_command([ 'pg_dump', '-a', '-t', 'public.twin',
            '-U', $self->{login}, '-d', $node->connstr('postgres'), @options ]);
        return { bytes => "$out$err", rows => [], states => [], messages => [] };
    }

    # COPY to a file of the server, and what is in it.
    sub copy_to_file
    {
        my ($self, $what) = @_;
        my $file = $node->basedir . '/copied';
        unlink $file;
        my $reply = $self->{wire}->query("COPY $what TO '$file'");
        $reply->{bytes} .= PostgreSQL::Test::Utils::slurp_file($file) if -e $file;
        return $reply;
    }
}

# ---- all cells ----

my @paths = paths();
my $cells = 0;
for my $role (sort keys %ROLES)
{
    my $session = Session->new($role);
    my ($may, $is) = (effective($role, \%GRANTED), properties($role));
    if ($role eq 'revoked')
    {
        my $wire = $session->{wire};
        $wire->query('PREPARE kept AS SELECT email FROM person WHERE id = 1');
        $wire->query('BEGIN; DECLARE kept NO SCROLL CURSOR FOR SELECT email FROM person ORDER BY id');
        is(outcome($wire->query('EXECUTE kept')), 'plaintext', 'before it is revoked the grant holds');
        is(outcome($wire->query('FETCH 1 FROM kept')), 'plaintext', 'in a cursor, too');
        admin("SELECT sdes.revoke_access('pii', 'revoked', '{decrypt}')");
        is(outcome($wire->query('FETCH 1 FROM kept')), 'armor', 'the open cursor goes on without it');
        is(outcome($wire->query('EXECUTE kept')), 'armor', 'and so does the prepared statement');
        $wire->query('ROLLBACK');
    }
    if ($role eq 'late')
    {
        is(outcome($session->{wire}->query('SELECT email FROM person WHERE id = 1')), 'armor',
            'before it is granted there is nothing');
        admin("SELECT sdes.grant_access(b, 'late', '{decrypt}') FROM unnest('{pii,pay,shop,vault}'::text[]) AS b");
    }
    for my $path (@paths)
    {
        my $expected = rule_outcome($path, $may, $is);
        my $reply = run_path($session, $path);
        my $outcome = outcome($reply);
        $outcome = 'silent' if $expected eq 'silent' && $outcome =~ /^answer/;
        is($outcome, $expected, "$role: $path->{name}") or diag(@{ $reply->{messages} });
        $cells++;
    }
    $session->{wire}->close;
}
cmp_ok(scalar keys %ROLES, '>=', 14, scalar(keys %ROLES) . ' roles');
cmp_ok(scalar @paths, '>=', 50, scalar(@paths) . " paths, $cells cells");

# ---- the paths are what they are called ----

my %plans = (
    'parallel plan' => 'Gather',
    'in a parallel worker' => 'Gather',
    '= in a parallel worker' => 'Gather',
    'index-only scan' => 'Index Only Scan',
    '= literal, through the index' => 'Index Scan|Bitmap Index Scan',
    'LOWER(column) = literal, through the index' => 'Index Scan|Bitmap Index Scan',
    'hash join' => 'Hash Join',
    'merge join' => 'Merge Join',
);
my $planner = Session->new('app');
for my $name (sort keys %plans)
{
    my ($path) = grep { $_->{name} eq $name } @paths;
    my @run = @{ $path->{run} };
    $run[-1] = "EXPLAIN $run[-1]";
    like(run_path($planner, { run => \@run })->{bytes}, qr/$plans{$name}/, "$name: $plans{$name}");
}
$planner->{wire}->close;

# ---- the log ----
# An entry is a role's by its session's name, or its user where another program logged in.

my %secrets = map { $_ => 1 } map { @{ $VALUES{$_} } } 1, 3, 4; # 2 is in the clients' text
my $secret = join '|', map { quotemeta } sort keys %secrets;
my %written;
for my $entry (split /\n(?!\t)/, slurp_file($node->logfile))
{
    my ($name, $user) = $entry =~ /^(\S+) (\S+): / or next;
    my $role = exists $ROLES{$name} ? $name : $user;
    $written{$role}{$entry} = 1 if exists $ROLES{$role};
}
for my $role (sort keys %ROLES)
{
    next if effective($role, \%GRANTED)->{decrypt} || $role eq 'revoked';
    is(join("\n", grep { /$secret/ } keys %{ $written{$role} }), '', "$role: no value in the server log");
    cmp_ok(scalar keys %{ $written{$role} }, '>', 10, "$role: it is in the log");
}
# The same search finds what PostgreSQL's own error wrote for who may read it.
like(join("\n", keys %{ $written{reader} }), qr/$secret/, 'the search of the log finds a value');

# ---- the documentation ----

my %paths_of;
for my $section (split /^### /m, slurp_file("$ENV{PWD}/docs/roles.md"))
{
    my ($rule, $text) = $section =~ /^([^\n]*)\n\n(.*)/s or next;
    $paths_of{$rule} = join ' ', split ' ', $text;
}
for my $path (@paths)
{
    like($paths_of{ $path->{rule} }, qr/(?:[:;]) \Q$path->{name}\E[;.]/,
        "docs/roles.md has \"$path->{name}\" under \"$path->{rule}\"");
}

$node->stop;
done_testing();
