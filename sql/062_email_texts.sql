-- Our own mail, in English. Every value is escaped in the HTML part; what is not given is empty.

do $texts$
declare
    -- one frame for all; {0} is the heading, {1} the paragraphs
    frame constant text := $html$<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{0}</title></head>
<body style="margin:0;padding:24px;background:#f4f5f7;font-family:Arial,Helvetica,sans-serif;color:#1f2933">
<table role="presentation" width="100%" style="max-width:560px;margin:0 auto;background:#ffffff;border-radius:6px">
<tr><td style="padding:32px">
<h1 style="margin:0 0 16px;font-size:20px">{0}</h1>
{1}
<p style="margin:24px 0 0;font-size:13px;color:#616e7c">{{ app_name }}{% if support_email %} &middot; Questions? Write to <a href="mailto:{{ support_email }}" style="color:#616e7c">{{ support_email }}</a>{% endif %}</p>
</td></tr>
</table>
</body>
</html>
$html$;
    foot constant text := E'\n-- \n{{ app_name }}{% if support_email %}\nQuestions? Write to {{ support_email }}{% endif %}\n';
    button constant text := '<p style="margin:24px 0"><a href="{2}" style="background:#1f5fbf;color:#ffffff;padding:12px 20px;border-radius:4px;text-decoration:none">{3}</a></p>
<p style="font-size:13px;color:#616e7c">If the button does not work, copy this address into your browser:<br>{2}</p>';
    item record;
begin
    for item in
        select *
          from (values
            ('00000000-0000-4000-8000-000000000001', 'email_verification',
             'Confirm your email address for {{ app_name }}',
             'Confirm your email address',
             '<p>Somebody, we hope you, signed up for {{ app_name }} with the address {{ email }}. Please confirm that it is yours.</p>'
             || replace(replace(button, '{2}', '{{ verification_url }}'), '{3}', 'Confirm address')
             || '<p>The link works once{% if expires_at %}, until {{ expires_at }}{% else %}, for one hour{% endif %}. If you did not sign up, ignore this message: nothing happens without the link.</p>',
             E'Somebody, we hope you, signed up for {{ app_name }} with the address {{ email }}.\nPlease confirm that it is yours:\n\n{{ verification_url }}\n\nThe link works once{% if expires_at %}, until {{ expires_at }}{% else %}, for one hour{% endif %}. If you did not sign up, ignore this message:\nnothing happens without the link.\n'),
            ('00000000-0000-4000-8000-000000000002', 'password_reset',
             'Set a new password for {{ app_name }}',
             'Set a new password',
             '<p>Hello{% if user_name %} {{ user_name }}{% endif %},</p><p>Somebody asked for a new password for {{ email }} at {{ app_name }}{% if ip_address %}, from the internet address {{ ip_address }}{% endif %}.</p>'
             || replace(replace(button, '{2}', '{{ reset_url }}'), '{3}', 'Choose a new password')
             || '<p>The link works once{% if expires_at %}, until {{ expires_at }}{% else %}, for one hour{% endif %}. If it was not you, ignore this message: your password stays as it is.</p>',
             E'Hello{% if user_name %} {{ user_name }}{% endif %},\n\nSomebody asked for a new password for {{ email }} at {{ app_name }}{% if ip_address %},\nfrom the internet address {{ ip_address }}{% endif %}. Choose it here:\n\n{{ reset_url }}\n\nThe link works once{% if expires_at %}, until {{ expires_at }}{% else %}, for one hour{% endif %}. If it was not you, ignore this message:\nyour password stays as it is.\n'),
            ('00000000-0000-4000-8000-000000000003', 'invitation',
             '{{ invited_by }} invites you to {{ account_name }}',
             'You are invited to {{ account_name }}',
             '<p>Hello{% if user_name %} {{ user_name }}{% endif %},</p><p>{{ invited_by }} invites you to work in {{ account_name }} at {{ app_name }}. You will log in as {{ email }}, with a password that you choose now.</p>'
             || replace(replace(button, '{2}', '{{ invitation_url }}'), '{3}', 'Accept the invitation')
             || '<p>The invitation ends{% if expires_at %} on {{ expires_at }}{% else %} in two days{% endif %}. If you do not know who sent it, ignore this message.</p>',
             E'Hello{% if user_name %} {{ user_name }}{% endif %},\n\n{{ invited_by }} invites you to work in {{ account_name }} at {{ app_name }}.\nYou will log in as {{ email }}, with a password that you choose here:\n\n{{ invitation_url }}\n\nThe invitation ends{% if expires_at %} on {{ expires_at }}{% else %} in two days{% endif %}. If you do not know who sent it, ignore this message.\n'),
            ('00000000-0000-4000-8000-000000000004', 'password_changed',
             'Your password for {{ app_name }} was changed',
             'Your password was changed',
             '<p>Hello{% if user_name %} {{ user_name }}{% endif %},</p><p>The password of {{ email }} at {{ app_name }} was changed{% if ip_address %}, from the internet address {{ ip_address }}{% endif %}. All sessions were ended; log in with the new password.</p>'
             || '<p>If it was not you, ask for a new password at once{% if support_email %} and tell us{% endif %}.</p>',
             E'Hello{% if user_name %} {{ user_name }}{% endif %},\n\nThe password of {{ email }} at {{ app_name }} was changed{% if ip_address %},\nfrom the internet address {{ ip_address }}{% endif %}.\nAll sessions were ended; log in with the new password.\n\nIf it was not you, ask for a new password at once{% if support_email %} and tell us{% endif %}.\n')
          ) as t(id, template_type, subject, heading, paragraphs, plain)
    loop
        insert into snackbase.email_templates (id, account_id, template_type, locale, subject, html_body, text_body, is_builtin)
             values (item.id::uuid, '00000000-0000-0000-0000-000000000000', item.template_type, 'en', item.subject,
                     replace(replace(frame, '{0}', item.heading), '{1}', item.paragraphs), item.plain || foot, true);
    end loop;
end
$texts$;
