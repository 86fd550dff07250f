#!/usr/bin/perl
#
# orders.pl
#     The orders of an order management system, made up but lifelike. An order
#     follows from its number alone, by a generator of its own, so that every
#     machine, every Perl and every range of numbers gives the same orders.
#
#     orders.pl copy [FROM [N]]     COPY text format, columns as in schema.sql
#     orders.pl insert [FROM [N]]   plain INSERT statements
#     orders.pl canaries [N]        N sensitive values, one a line, to search for
#
# FROM is 1 and N is 100000 (canaries: 1000) unless given. Nobody in here lives:
# names are drawn from lists, mail goes to reserved domains (RFC 2606), cards
# are numbers of the brands' test ranges with a valid Luhn digit.

use strict;
use warnings;
use utf8;

my $ORDERS = 100_000;
my @COLUMNS = qw(id order_no placed_at status currency total items
    full_name email phone address card tax_id note);

# The people ------------------------------------------------------------------
# Per script: names in that script and in ASCII for the mail address, streets
# (%d is the house number), places, the phone's country code, tax ids' prefix.

my @PEOPLE = (
    {
        order => 'given family', code => '44', tax => 'GB',
        given  => [qw(Olivia/olivia George/george Amelia/amelia Harry/harry Siân/sian)],
        family => [qw(Smith/smith O'Brien/obrien Taylor/taylor Llewellyn-Jones/llewellyn)],
        street => ['%d High Street', 'Flat 3, %d Station Road', "%d St Mary's Close"],
        place  => ['London N1 9GU', 'Leeds LS1 4AP', 'Cardiff CF10 1EP'],
    },
    {
        order => 'given family', code => '49', tax => 'DE',
        given  => [qw(Jürgen/juergen Zoë/zoe Björn/bjoern Käthe/kaethe François/francois)],
        family => [qw(Müller/mueller Groß/gross Weißgärber/weissgaerber Schön/schoen Lefèvre/lefevre)],
        street => ['Königsstraße %d', 'Am Mühlgraben %d', 'Görlitzer Straße %d'],
        place  => ['50667 Köln', '80331 München', '01067 Dresden'],
    },
    {
        order => 'given family', code => '48', tax => 'PL',
        given  => [qw(Łukasz/lukasz Małgorzata/malgorzata Jiří/jiri Žofie/zofie Þóra/thora)],
        family => [qw(Wójcik/wojcik Dvořák/dvorak Brzęczyszczykiewicz/brzeczyszcz Guðmundsdóttir/gudmunds)],
        street => ['ul. Świętokrzyska %d', 'Náměstí Míru %d', 'Laugavegur %d'],
        place  => ['00-360 Warszawa', '120 00 Praha', '101 Reykjavík'],
    },
    {
        order => 'given family', code => '7', tax => '',
        given  => [qw(Анна/anna Сергей/sergey Олена/olena Юрій/yuriy Ђорђе/djordje)],
        family => [qw(Иванов/ivanov Шевченко/shevchenko Щербаков/shcherbakov Петровић/petrovic)],
        street => ['улица Пушкина, дом %d', 'вулиця Хрещатик, %d', 'Невский проспект, %d'],
        place  => ['101000 Москва', '01001 Київ', '11000 Београд'],
    },
    {
        order => 'given family', code => '30', tax => 'EL',
        given  => [qw(Γιώργος/giorgos Ελένη/eleni Κώστας/kostas Άννα/anna)],
        family => [qw(Παπαδόπουλος/papadopoulos Νικολάου/nikolaou Οικονόμου/oikonomou)],
        street => ['Οδός Ερμού %d', 'Λεωφόρος Συγγρού %d'],
        place  => ['105 63 Αθήνα', '546 24 Θεσσαλονίκη'],
    },
    {
        order => 'familygiven', code => '86', tax => '9144',
        given  => [qw(伟/wei 秀英/xiuying 娜/na 建国/jianguo)],
        family => [qw(王/wang 李/li 欧阳/ouyang 張/zhang)],
        street => ['朝阳区建国路%d号', '南京东路%d号', '中山北路%d號'],
        place  => ['北京市 100022', '上海市 200001', '臺北市 104'],
    },
    {
        order => 'family given', code => '81', tax => 'T',
        given  => [qw(さくら/sakura 健太/kenta ユウコ/yuko 大輔/daisuke)],
        family => [qw(佐藤/sato 鈴木/suzuki 髙橋/takahashi 渡邉/watanabe)],
        street => ['渋谷区神南一丁目%d番地', '中央区銀座四丁目%d番', '北区梅田%d-1'],
        place  => ['〒150-0041 東京都', '〒104-0061 東京都', '〒530-0001 大阪府'],
    },
    {
        order => 'given family', code => '20', tax => '',
        given  => [qw(محمد/mohamed فاطمة/fatima أحمد/ahmed نور/nour)],
        family => [qw(الخطيب/alkhatib عبدالله/abdallah حسن/hassan)],
        street => ['شارع التحرير %d', 'طريق الملك فهد %d'],
        place  => ['القاهرة 11511', 'الرياض 12271'],
    },
    {
        order => 'given family', code => '91', tax => '27AAPFU',
        given  => [qw(प्रिया/priya राहुल/rahul अनन्या/ananya விஜய்/vijay)],
        family => [qw(शर्मा/sharma त्रिपाठी/tripathi कृष्णन/krishnan)],
        street => ['%d महात्मा गांधी मार्ग', '%d नेहरू नगर'],
        place  => ['मुंबई 400001', 'नई दिल्ली 110001'],
    },
);

# Brand, leading digits (of the brands' published test numbers), length.
my @CARDS = (
    [ '411111', 16 ], [ '401288', 16 ], [ '424242', 16 ], [ '555555', 16 ],
    [ '510510', 16 ], [ '222300', 16 ], [ '378282', 15 ], [ '371449', 15 ],
    [ '601111', 16 ], [ '353011', 16 ], [ '305693', 14 ], [ '675964', 18 ],
    [ '620000', 19 ],
);

my @NOTES = (
    "Please ring twice, the bell sticks.",
    "Leave it with the neighbour (no. 7), she knows.\nNot in the shed!",
    "It's a gift: no invoice in the box, please 🎁🎉",
    "Karte: „Für Oma, mit ganz viel Liebe“ ❤️",
    "Осторожно, злая собака 🐕",
    "お届けは午前中にお願いします。",
    "请放在门口,谢谢!👍🏽",
    "يرجى الاتصال قبل التسليم",
    "कृपया शाम ६ बजे के बाद आएँ",
    "C:\\orders\\import\\2026\tline 7; DROP TABLE orders; -- \"quoted\" 'twice'",
    "100% cotton, size XL, €-invoice, ref. #A/B\\C",
    "👩‍👩‍👧‍👦 family order 🇪🇺",
);

my @STATUS = qw(new paid paid packed shipped shipped shipped shipped returned cancelled);
my @CURRENCY = qw(EUR EUR EUR GBP USD JPY PLN INR);
my @DOMAINS = qw(example.com example.net example.org mail.example shop.example
    bücher.example);

# Numbers ---------------------------------------------------------------------
# xorshift32 (Marsaglia 2003), started anew by each order's number.

my $state;

sub begin_order
{
    my ($number) = @_;
    $state = ($number * 2654435761 + 0x9E3779B9) & 0xFFFFFFFF || 1;
    draw() for 1 .. 4;
}

sub draw
{
    $state ^= ($state << 13) & 0xFFFFFFFF;
    $state ^= $state >> 17;
    $state ^= ($state << 5) & 0xFFFFFFFF;
    return $state;
}

sub below { my ($n) = @_; return draw() % $n; }
sub pick { my ($list) = @_; return $list->[ below(scalar @$list) ]; }

sub digits
{
    my ($n) = @_;
    return join '', map { below(10) } 1 .. $n;
}

# The check digit of ISO/IEC 7812-1 annex B.
sub luhn_digit
{
    my ($body) = @_;
    my ($sum, $double) = (0, 1);
    for my $digit (reverse split //, $body)
    {
        my $value = $double ? $digit * 2 : $digit;
        $sum += $value > 9 ? $value - 9 : $value;
        $double = !$double;
    }
    return (10 - $sum % 10) % 10;
}

# Parts of an order -------------------------------------------------------------

sub card
{
    my ($bin, $length) = @{ pick(\@CARDS) };
    my $body = $bin . digits($length - length($bin) - 1);
    my $card = $body . luhn_digit($body);

    # Most arrive as digits, some the way people type them.
    my $typed = below(20);
    $card =~ s/(\d{4})(?=\d)/$1 /g if $typed == 0;
    $card =~ s/(\d{4})(?=\d)/$1-/g if $typed == 1;
    return $card;
}

sub note
{
    my ($number) = @_;
    my $kind = below(1000);
    return undef if $kind < 350;
    return '' if $kind < 450;
    my $note = pick(\@NOTES) . " [ref $number-" . digits(6) . "]";
    return $note if $kind < 998;

    # Two in a thousand are whole conversations of 10 to 100 kB.
    my $size = 10_000 + below(90_000);
    my @lines = ($note);
    my $bytes = 0;
    while ($bytes < $size)
    {
        my $line = "Re: order $number, " . digits(8) . ": " . pick(\@NOTES);
        utf8::encode(my $encoded = $line);
        $bytes += length($encoded) + 1;
        push @lines, $line;
    }
    return join "\n", @lines;
}

sub timestamp
{
    my ($number) = @_;

    # One order every five minutes since the beginning of 2026, more or less.
    my ($s, $m, $h, $day, $month, $year) = gmtime(1767225600 + $number * 300 + below(290));
    return sprintf '%04d-%02d-%02d %02d:%02d:%02d+00', $year + 1900, $month + 1, $day, $h, $m, $s;
}

sub order
{
    my ($number) = @_;
    begin_order($number);
    my $who = pick(\@PEOPLE);
    my ($given, $given_ascii) = split m{/}, pick($who->{given});
    my ($family, $family_ascii) = split m{/}, pick($who->{family});
    my $name =
          $who->{order} eq 'given family' ? "$given $family"
        : $who->{order} eq 'family given' ? "$family $given"
        :                                   "$family$given";

    return {
        id        => $number,
        order_no  => sprintf('OMS-2026-%06d', $number),
        placed_at => timestamp($number),
        status    => pick(\@STATUS),
        currency  => pick(\@CURRENCY),
        total     => sprintf('%d.%02d', 5 + below(995), below(100)),
        items     => 1 + below(9),
        full_name => $name,
        email     => "$given_ascii.$family_ascii.$number\@" . pick(\@DOMAINS),
        phone     => below(20) ? "+$who->{code} " . digits(3) . ' ' . digits(7) : undef,
        address   => sprintf(pick($who->{street}), 1 + below(250)) . ", " . pick($who->{place}),
        card      => card(),
        tax_id    => below(5) < 2 ? $who->{tax} . digits(9) : undef,
        note      => note($number),
    };
}

# Forms ---------------------------------------------------------------------------

sub copy_field
{
    my ($value) = @_;
    return '\N' if !defined $value;
    $value =~ s/\\/\\\\/g;
    $value =~ s/\t/\\t/g;
    $value =~ s/\n/\\n/g;
    return $value;
}

my %IS_NUMBER = map { $_ => 1 } qw(id total items);

# For standard_conforming_strings: only quotes are special in a string.
sub literal
{
    my ($column, $value) = @_;
    return 'NULL' if !defined $value;
    return $value if $IS_NUMBER{$column};
    $value =~ s/'/''/g;
    return "'$value'";
}

sub print_copy
{
    my ($order) = @_;
    print join("\t", map { copy_field($order->{$_}) } @COLUMNS), "\n";
}

sub print_insert
{
    my ($order) = @_;
    print 'INSERT INTO orders (', join(', ', @COLUMNS), ') VALUES (',
        join(', ', map { literal($_, $order->{$_}) } @COLUMNS), ");\n";
}

# Values that cannot turn up by chance: nothing short, nothing that orders share.
sub print_canaries
{
    my ($n) = @_;
    my @kinds = qw(email card phone note full_name address tax_id);
    my ($printed, $i, %seen) = (0, 0);
    while ($printed < $n)
    {
        my $order = order(1 + ($i * 7919) % $ORDERS);
        my $value = $order->{ $kinds[ $i % @kinds ] };
        $i++;
        next if !defined $value;
        ($value) = $value =~ /(\[ref [^\]]*\])/ if $value =~ /\[ref /;
        utf8::encode(my $bytes = $value);
        next if length($bytes) < 10 || $seen{$value}++;
        print "$value\n";
        $printed++;
    }
}

binmode STDOUT, ':encoding(UTF-8)';
my ($form, @range) = @ARGV;
my %PRINT = (copy => \&print_copy, insert => \&print_insert);
if (!defined $form || grep { !/^\d+$/ } @range)
{
    die "usage: orders.pl copy|insert [FROM [N]] | canaries [N]\n";
}
elsif ($form eq 'canaries')
{
    print_canaries($range[0] // 1000);
}
elsif ($PRINT{$form})
{
    my $from = $range[0] // 1;
    my $n = $range[1] // $ORDERS - $from + 1;
    $PRINT{$form}->(order($_)) for $from .. $from + $n - 1;
}
else
{
    die "orders.pl: no such form: $form\n";
}
